import { gate, heldHandler, next, spyOnExchanges, topic, wrap } from "./support.ts";

/** Test cases about the end of a worker by `stop()`. */
export const workerStopCases = topic("workers", (it) => {
  it("R12: stop() stops claiming and waits for what runs; its result counts", async ({ expect, queue }) => {
    const mail = queue();
    const { run, begun, finish } = heldHandler();
    mail.on("job:email", run);
    const [running, waiting] = await mail.addJobs([1, 2].map((payload) => ({ name: "email", payload })));
    await mail.run({ concurrency: 1 });
    await begun;
    const stopped = mail.stop();
    finish("done");
    await stopped;
    expect(await mail.get(running as string)).toMatchObject({ state: "completed", result: "done" });
    expect(await mail.get(waiting as string)).toMatchObject({ state: "waiting", attempts: 0 });
  });

  it("R12: stop() aborts what runs on after its timeout and gives the job back, not counted", async ({
    expect,
    queue,
    advance,
  }) => {
    const mail = queue();
    const { run, begun, aborted } = heldHandler({ heeds: true });
    mail.on("job:email", run);
    const id = await mail.addJob("email", null);
    await mail.run();
    await begun;
    const stopped = mail.stop({ timeout: "3s" });
    await advance(3_000);
    expect(await aborted).toMatchObject({ code: "closed" });
    await stopped;
    expect(await mail.get(id)).toMatchObject({ state: "waiting", attempts: 0 });
  });

  it("R12: stop() ends even when a handler never returns; a result after that loses", async ({
    expect,
    queue,
    advance,
  }) => {
    const mail = queue();
    const { run, begun, aborted, finish } = heldHandler();
    mail.on("job:email", run);
    const id = await mail.addJob("email", null);
    await mail.run();
    await begun;
    const stopped = mail.stop({ timeout: 0 });
    await aborted;
    await advance(5_000);
    await stopped;
    finish("too late");
    expect(await mail.get(id)).toMatchObject({ state: "waiting", attempts: 0 });
  });

  it("stop() is idempotent, and a stopped worker can start again", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {});
    await mail.run();
    await Promise.all([mail.stop(), mail.stop()]);
    await mail.stop();
    const id = await mail.addJob("email", null);
    const completed = next(mail, "completed");
    await mail.run();
    expect(await completed).toMatchObject({ job: { id } });
  });

  it("renewals go on while a worker waits for its last handler", async ({ expect, queue, driver, advance }) => {
    const spy = spyOnExchanges(driver);
    const renewed = gate();
    const mail = queue({
      driver: wrap(spy.driver, {
        async exchange(request) {
          const reply = await spy.driver.exchange(request);
          if (request.exchange > 1 && request.running.length === 1) renewed.open();
          return reply;
        },
      }),
    });
    const { run, begun, finish } = heldHandler();
    mail.on("job:email", run);
    const id = await mail.addJob("email", null);
    await mail.run({ concurrency: 1, lease: "30s" });
    await begun;
    const stopped = mail.stop({ timeout: "5m" });
    await advance(10_000);
    await renewed.opened;
    finish("done");
    await stopped;
    expect(await mail.get(id)).toMatchObject({ state: "completed" });
  });
});
