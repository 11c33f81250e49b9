import type { JobRecord } from "@quayside/core";
import { codeOf } from "./error-code.ts";
import { gather, topic } from "./support.ts";

/** Test cases about the `ctx` of handlers. */
export const handlerContextCases = topic("the ctx of a handler", (it) => {
  it("ctx.fail ends the job, although the handler catches its error", async ({ expect, queue }) => {
    const mail = queue();
    let attempts = 0;
    mail.on("job:email", (_, ctx) => {
      attempts++;
      try {
        ctx.fail("no such address");
      } catch {}
      return "sent";
    });
    const id = await mail.addJob("email", null);
    await mail.drain();
    expect(attempts).toBe(1);
    expect(await mail.get(id)).toMatchObject({ state: "failed", error: { message: "no such address" } });
  });

  it("ctx.release gives the job back, although the handler catches its error and throws another", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    const released = gather(mail, "released");
    let attempts = 0;
    mail.on("job:email", (_, ctx) => {
      attempts++;
      try {
        if (attempts === 1) ctx.release();
      } catch {
        throw new Error("wrapped");
      }
      return ctx.attempt;
    });
    const id = await mail.addJob("email", null, { maxAttempts: 1 });
    await mail.drain();
    expect(released).toHaveLength(1);
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: 1 });
  });

  it("of several caught calls of ctx.release and ctx.fail, the last one decides", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", (_, ctx) => {
      for (const call of [() => ctx.release("1h"), () => ctx.fail("for good")])
        try {
          call();
        } catch {}
    });
    const id = await mail.addJob("email", null);
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "failed", error: { message: "for good" } });
  });

  it("a spread of ctx has its signal", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", (_, ctx) => {
      const copy = { ...ctx };
      return [copy.signal.aborted === false, copy.signal === ctx.signal, copy.id === ctx.id];
    });
    const id = await mail.addJob("email", null);
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ result: [true, true, true] });
  });

  it("ctx.addJob adds to the queue of the running job", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", (_, ctx) => ctx.addJob("audit", { from: ctx.id }, { tags: ["audit"] }));
    mail.on("job:audit", (payload) => payload);
    const id = await mail.addJob("email", null);
    await mail.drain();
    const added = (await mail.get(id))?.result as string;
    expect(await mail.get(added)).toMatchObject({ name: "audit", tags: ["audit"], result: { from: id } });
  });

  it("ctx.addFlow adds a flow to the queue of the running job, and its jobs run", async ({ expect, queue }) => {
    const mail = queue();
    const order: unknown[] = [];
    mail.on("job:start", (_, ctx) =>
      ctx
        .addFlow({
          name: "root",
          payload: 0,
          tags: ["late"],
          children: [1, 2].map((payload) => ({ name: "leaf", payload })),
        })
        .then(({ id, children }) => [id, children.length]),
    );
    mail.on("job:leaf", (payload) => void order.push(payload));
    mail.on("job:root", (_, ctx) => void order.push(ctx.children().length));
    const id = await mail.addJob("start", null);
    await mail.drain();
    const { result } = (await mail.get(id)) as JobRecord;
    const [root, children] = result as [string, number];
    expect(children).toBe(2);
    expect(order).toEqual([1, 2, 2]);
    expect(await mail.get(root)).toMatchObject({ state: "completed", tags: ["late"] });
  });

  it("ctx.addFlow whose root has an id adds one flow, although the attempt calls it twice and is retried", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    const ids: unknown[] = [];
    let leaves = 0;
    mail.on("job:start", async (_, ctx) => {
      const flow = { name: "root", payload: 0, id: `of ${ctx.id}`, children: [{ name: "leaf", payload: 1 }] };
      ids.push(await ctx.addFlow(flow), await ctx.addFlow(flow));
      if (ctx.attempt === 1) throw new Error("after the flow");
    });
    mail.on("job:leaf", () => void leaves++);
    mail.on("job:root", () => {});
    const id = await mail.addJob("start", null, { backoff: [0] });
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "completed", attempts: 2 });
    expect(ids).toHaveLength(4);
    expect(new Set(ids.map((one) => JSON.stringify(one))).size).toBe(1);
    expect(leaves).toBe(1);
    expect(await mail.counts()).toMatchObject({ completed: 3, waiting: 0 });
  });

  it("ctx.addFlow refuses a wrong flow by name and adds nothing of it", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:start", async (_, ctx) => {
      const wrong = { name: "leaf", payload: 1, priority: 500 };
      return codeOf(ctx.addFlow({ name: "root", payload: 0, children: [{ name: "leaf", payload: 1 }, wrong] }));
    });
    const id = await mail.addJob("start", null);
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ result: "invalid_option" });
    expect(await mail.size()).toBe(0);
  });

  it("ctx.scheduledFor is the time that the recurrence planned, in retries too", async ({ advance, expect, queue }) => {
    const mail = queue();
    const seen: (number | undefined)[] = [];
    mail.on("job:tick", (_, ctx) => {
      seen.push(ctx.scheduledFor);
      if (ctx.attempt === 1) throw new Error("once more");
    });
    mail.on("job:plain", (_, ctx) => void seen.push(ctx.scheduledFor));
    await mail.schedule("tick", { every: "1h", limit: 1, name: "tick", backoff: ["1m"] });
    const [planned] = (await mail.schedules()).map(({ nextAt }) => nextAt);
    await advance(3_600_000 + 1_234);
    await mail.drain();
    await advance(60_000);
    await mail.drain();
    await mail.addJob("plain", null);
    await mail.drain();
    expect(typeof planned).toBe("number");
    expect(seen).toEqual([planned, planned, undefined]);
  });
});
