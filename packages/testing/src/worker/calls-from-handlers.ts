import { codeOf } from "./error-code.ts";
import { gate, next, topic } from "./support.ts";

/** Test cases about calls from handlers and listeners on their own queue or worker. */
export const handlerCallCases = topic("life cycle", (it) => {
  it("a handler that awaits drain() or stop() of its own queue gets conflict, and the queue works on or stops", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    const codes: (string | undefined)[] = [];
    mail.on("job:drains", async () => void codes.push(await codeOf(mail.drain())));
    mail.on("job:stops", async () => void codes.push(await codeOf(mail.stop())));
    const completed = next(mail, "completed");
    await mail.addJob("drains", null);
    await mail.run();
    await completed;
    const stops = next(mail, "completed");
    await mail.addJob("stops", null);
    await stops;
    expect(codes).toEqual(["conflict", "conflict"]);
    await mail.stop();
    expect(await mail.counts()).toMatchObject({ completed: 2, active: 0 });
  });

  it("a handler that stops or drains its own queue without awaiting it is left alone", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {
      void mail.drain();
      void mail.stop();
      return "sent";
    });
    const completed = next(mail, "completed");
    const id = await mail.addJob("email", null);
    await mail.run();
    await completed;
    await mail.stop();
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: "sent" });
  });

  it("a handler's continuation may await drain() and stop() of its own queue once the handler has ended", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    const ended = gate();
    const codes = gate<readonly (string | undefined)[]>();
    mail.on("job:email", () => {
      void ended.opened.then(async () => codes.open([await codeOf(mail.drain()), await codeOf(mail.stop())]));
    });
    const completed = next(mail, "completed");
    await mail.addJob("email", null);
    await mail.run();
    await completed;
    ended.open();
    expect(await codes.opened).toEqual(["fulfilled", "fulfilled"]);
  });

  it("onFailed that awaits drain() of its own worker gets conflict, and the worker is idle afterwards", async ({
    driver,
    expect,
    queue,
    worker,
  }) => {
    const mail = queue();
    const codes: (string | undefined)[] = [];
    const own = worker(driver, {
      queues: [
        {
          name: mail.name,
          run: () => Promise.reject(new Error("fails")),
          onFailed: async () => void codes.push(await codeOf(own.drain())),
        },
      ],
    });
    await mail.addJob("email", null, { maxAttempts: 1 });
    await own.drain();
    expect(codes).toEqual(["conflict"]);
  });

  it("R34: start() of its own worker in a handler of processNext() resolves, and the worker runs afterwards", async ({
    driver,
    expect,
    queue,
    worker,
  }) => {
    const mail = queue();
    const own = worker(driver, {
      queues: [{ name: mail.name, run: ({ name }) => (name === "starts" ? own.start() : undefined) }],
    });
    await mail.addJob("starts", null);
    expect(await own.processNext()).toBe(true);
    const completed = next(own, "completed");
    await mail.addJob("email", null);
    expect(await completed).toMatchObject({ job: { name: "email" } });
  });

  it("a listener that rejects is an error event, as one that throws", async ({ expect, queue }) => {
    const mail = queue();
    const faults: unknown[] = [];
    const heard = gate();
    mail.on("job:email", () => "sent");
    mail.on("completed", (async () => {
      throw new Error("from a listener");
    }) as () => void);
    mail.on("error", ({ error }) => {
      faults.push((error as Error).message);
      heard.open();
    });
    await mail.addJob("email", null);
    await mail.drain();
    await heard.opened;
    expect(faults).toEqual(["from a listener"]);
  });
});
