import { defineJobs, type JobRecord } from "@quayside/core";
import { codeOf } from "./error-code.ts";
import { gather, next, QUEUE, topic, wrap } from "./support.ts";

/** Test cases about features of queues and workers that use the driver, besides running jobs. */
export const featureCases = topic("features", (it) => {
  it("what a handler logs is kept with the job, also what it logs last", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", (_, ctx) => {
      ctx.log("begun");
      ctx.log("done");
    });
    const id = await mail.addJob("email", null);
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "completed", logs: ["begun", "done"] });
  });

  it("progress that is told last is kept with the job", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", (_, ctx) => {
      ctx.progress({ sent: 1 });
      ctx.progress({ sent: 2 });
    });
    const id = await mail.addJob("email", null);
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "completed", progress: { sent: 2 } });
  });

  it("handlers add jobs: ctx.enqueue to one queue, ctx.publish to several", async ({ expect, queue, driver }) => {
    const mail = queue();
    const added: string[] = [];
    // The child has no handler, so an `error` event is expected.
    gather(mail, "error");
    mail.on("job:user", async (_, ctx) => {
      added.push(await ctx.enqueue({ name: "audit", payload: 1 }));
      added.push(...(await ctx.publish({ name: "created", queues: ["crm", "stats"], payload: 2 })));
    });
    await mail.addJob("user", null);
    await mail.drain();
    expect(await driver.get(QUEUE, added[0] as string)).toMatchObject({ name: "audit", payload: 1 });
    expect(await driver.get("crm", added[1] as string)).toMatchObject({ name: "created", payload: 2 });
    expect(await driver.get("stats", added[2] as string)).toMatchObject({ name: "created", payload: 2 });
  });

  it("a job that runs where it is added has run()'s ctx, and an id runs once, here or from the store", async ({
    expect,
    queue,
  }) => {
    const jobs = defineJobs({ here: { shouldQueue: (payload) => payload === "stored" } });
    const mail = queue({ jobs } as object);
    const seen: unknown[] = [];
    mail.on("job:here", (payload, ctx) => void seen.push([payload, (ctx as { given?: number | undefined }).given]));
    await mail.run({ ctx: { given: 1 } });
    for (const payload of ["first", "again"]) await mail.addJob("here", payload, { id: "a" });
    await mail.stop();
    for (const payload of ["stored", "again"]) await mail.addJob("here", payload, { id: "b" });
    expect(seen).toEqual([["first", 1]]);
    expect(await mail.counts()).toMatchObject({ waiting: 1 });
  });

  it("a parent runs after its children and gets what became of them", async ({ expect, queue }) => {
    const mail = queue();
    const order: unknown[] = [];
    mail.on("job:resize", (payload) => {
      order.push(payload);
      return payload;
    });
    mail.on("job:album", (_, ctx) => {
      order.push("album");
      return ctx.children().map(({ state, result }) => [state, result]);
    });
    const { id } = await mail.addFlow({ name: "album", payload: null, children: [{ name: "resize", payload: 1 }] });
    await mail.drain();
    expect(order).toEqual([1, "album"]);
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: [["completed", 1]] });
  });

  it("a batch runs its onComplete although some of it failed", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:import", (payload, ctx) => (payload === 2 ? ctx.fail("no") : payload));
    mail.on("job:report", (_, ctx) => ctx.children().filter(({ state }) => state === "failed").length);
    const { id } = await mail.addBatch(
      [1, 2].map((payload) => ({ name: "import", payload })),
      { onComplete: { name: "report", payload: null } },
    );
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: 1 });
  });

  it("the options of a flow's jobs stand beside their names, as in addJobs", async ({ expect, queue }) => {
    const mail = queue();
    const { id, children } = await mail.addFlow({
      name: "album",
      payload: null,
      priority: 7,
      children: [{ name: "resize", payload: 1, tags: ["image"], delay: "1h", onFailure: "ignore" }],
    });
    expect(await mail.get(id)).toMatchObject({ priority: 7, blockedBy: "children" });
    expect(await mail.get(children[0]?.id as string)).toMatchObject({ tags: ["image"], state: "delayed" });
    const nested = { name: "album", payload: null, options: { priority: 7 }, children: [] };
    expect(await codeOf(mail.addFlow(nested as never))).toBe("invalid_option");
  });

  it("a sequence runs its jobs one after the other, and each gets the outcome of the one before", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    const steps: unknown[] = [];
    mail.on("job:step", (payload, ctx) => {
      steps.push([payload, ...ctx.children().map(({ result }) => result)]);
      return `after ${payload}`;
    });
    const jobs = [1, 2, 3].map((payload) => ({ name: "step", payload, priority: payload, id: `step ${payload}` }));
    expect(await mail.addSequence(jobs)).toEqual(["step 1", "step 2", "step 3"]);
    expect(await mail.get("step 1")).toMatchObject({ state: "waiting", priority: 1 });
    expect(await mail.get("step 3")).toMatchObject({ blockedBy: "children" });
    await mail.drain();
    expect(steps).toEqual([[1], [2, "after 1"], [3, "after 2"]]);
    expect(await mail.addSequence([])).toEqual([]);
  });

  it("the jobs after a job of a sequence that fails or is cancelled fail with child_failed", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    const ran: unknown[] = [];
    mail.on("job:step", (payload, ctx) => (payload === 2 ? ctx.fail("no") : void ran.push(payload)));
    const failing = await mail.addSequence([1, 2, 3, 4].map((payload) => ({ name: "step", payload })));
    await mail.drain();
    const states = async (ids: readonly string[]) =>
      Promise.all(ids.map(async (id) => mail.get(id).then((job) => `${job?.state} ${job?.error?.code}`)));
    const broken = ["failed unrecoverable", "failed child_failed", "failed child_failed"];
    expect(await states(failing)).toEqual(["completed undefined", ...broken]);
    const cancelled = await mail.addSequence([5, 6, 7].map((payload) => ({ name: "step", payload })));
    await mail.cancel(cancelled[0] as string);
    await mail.drain();
    expect((await states(cancelled)).slice(1)).toEqual(["failed child_failed", "failed child_failed"]);
    expect(ran).toEqual([1]);
  });

  it("a repeated sequence whose last job has an id adds nothing", async ({ expect, queue }) => {
    const mail = queue();
    const add = () =>
      mail.addSequence([
        { name: "charge", payload: null },
        { name: "ship", payload: null },
        { name: "receipt", payload: null, id: "order-1" },
      ]);
    const ids = await add();
    expect(await add()).toEqual(ids);
    expect(await mail.size()).toBe(3);
  });

  it("waitFor resolves when another process has run the job", async ({ expect, queue, under }) => {
    const mail = queue();
    const other = queue({ driver: await under.another() });
    other.on("job:add", (payload) => (payload as number) + 1);
    const id = await mail.addJob("add", 41);
    const waiting = mail.waitFor(id);
    await other.drain();
    expect(await waiting).toBe(42);
    expect(await mail.waitFor(id)).toBe(42);
  });

  it("waitFor rejects with the job's error by its code", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:add", (_, ctx) => ctx.fail("no numbers"));
    const id = await mail.addJob("add", null);
    const waiting = mail.waitFor(id).catch((error: unknown) => error);
    await mail.drain();
    expect(await waiting).toMatchObject({ code: "unrecoverable", message: "no numbers" });
  });

  it("update changes the payload of a waiting job", async ({ expect, queue }) => {
    const mail = queue();
    const done = gather(mail, "completed");
    mail.on("job:email", () => {});
    const id = await mail.addJob("email", 1, { delay: "1h" });
    await mail.update(id, { payload: 2, delay: 0 });
    await mail.drain();
    expect(done.map(({ job }) => job.payload)).toEqual([2]);
  });

  it("middleware runs around the handlers and may give the job back", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {
      throw new Error("busy");
    });
    mail.use(async (ctx, proceed) => {
      try {
        return await proceed();
      } catch {
        return ctx.release("1h");
      }
    });
    const id = await mail.addJob("email", null);
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "delayed", attempts: 0 });
  });

  it("onFailed of the worker that recovers a job for the last time runs once", async ({ expect, worker, driver }) => {
    const failed: unknown[] = [];
    const job = { id: "1", queue: QUEUE, name: "email", state: "failed", error: { code: "interrupted", message: "x" } };
    const one = worker(
      wrap(driver, {
        async exchange(request) {
          const reply = await driver.exchange(request);
          return request.exchange === 1 ? { ...reply, interrupted: [job as JobRecord] } : reply;
        },
      }),
      {
        queues: [{ name: QUEUE, run: () => {}, onFailed: (_, error) => failed.push((error as { code: string }).code) }],
      },
    );
    await one.drain();
    expect(failed).toEqual(["interrupted"]);
    expect(one.failedCount).toBe(1);
  });

  it("sleep: an idle worker looks again by itself, for a driver whose watch misses things", async ({
    expect,
    worker,
    driver,
    queue,
    advance,
  }) => {
    const withoutChanges = wrap(driver, { watch: () => () => {} });
    const ran: unknown[] = [];
    const one = worker(withoutChanges, { sleep: "5s", queues: [{ name: QUEUE, run: (job) => ran.push(job.payload) }] });
    const idle = next(one, "idle");
    await one.start();
    await idle;
    await queue().addJob("email", 1);
    await advance(4_000);
    expect(ran).toEqual([]);
    const completed = next(one, "completed");
    await advance(1_000);
    await completed;
    expect(ran).toEqual([1]);
  });
});
