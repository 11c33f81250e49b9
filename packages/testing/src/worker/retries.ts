import { defineJobs, RetryAfterError, UnrecoverableError } from "@quayside/core";
import { gather, next, topic } from "./support.ts";

/** Test cases about failed attempts and the delay before the next one. */
export const retryCases = topic("attempts", (it) => {
  it("a handler that throws spends an attempt and runs again after its backoff, not before", async ({
    expect,
    queue,
    advance,
  }) => {
    const mail = queue();
    const attempts: number[] = [];
    mail.on("job:email", (_, ctx) => {
      attempts.push(ctx.attempt);
      if (ctx.attempt < 3) throw new Error(`no ${ctx.attempt}`);
    });
    const id = await mail.addJob("email", null, { backoff: ["1s", "10s"] });
    const first = next(mail, "retrying");
    await mail.run();
    expect(await first).toMatchObject({ delayMs: 1_000 });
    expect(await mail.get(id)).toMatchObject({ state: "delayed", attempts: 1, error: { message: "no 1" } });
    const second = next(mail, "retrying");
    await advance(999);
    expect(attempts).toEqual([1]);
    await advance(1);
    expect(await second).toMatchObject({ delayMs: 10_000 });
    const completed = next(mail, "completed");
    await advance(10_000);
    await completed;
    expect(attempts).toEqual([1, 2, 3]);
  });

  it("R13: of a list of delays the last one repeats", async ({ advance, expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {
      throw new Error("no");
    });
    const delays = gather(mail, "retrying");
    await mail.addJob("email", null, { backoff: ["1s", "10s"], maxAttempts: 5 });
    for (let attempt = 1; attempt <= 5; attempt++) {
      await mail.drain();
      await advance(10_000);
    }
    expect(delays.map(({ delayMs }) => delayMs)).toEqual([1_000, 10_000, 10_000, 10_000]);
  });

  it("R13: a backoff is fixed, linear or exponential up to its longest delay, and its jitter takes off no more than its share", async ({
    advance,
    expect,
    queue,
  }) => {
    const backoffs = {
      fixed: { kind: "fixed", delay: "2s" },
      linear: { kind: "linear", delay: "2s", max: "5s" },
      exponential: { kind: "exponential", delay: "1s", max: "7s" },
      tripled: { kind: "exponential", delay: "1s", factor: 3 },
      jittered: { kind: "fixed", delay: "10s", jitter: 0.25 },
    } as const;
    const mail = queue({ random: () => 0 });
    const delays: Record<string, number[]> = {};
    mail.on("retrying", ({ job, delayMs }) => {
      delays[job.name] = [...(delays[job.name] ?? []), delayMs / 1_000];
    });
    for (const [name, backoff] of Object.entries(backoffs)) {
      mail.on(`job:${name}`, () => {
        throw new Error("no");
      });
      await mail.addJob(name, null, { backoff, maxAttempts: 5 });
    }
    for (let attempt = 1; attempt <= 5; attempt++) {
      await mail.drain();
      await advance(27_000);
    }
    expect(delays).toEqual({
      fixed: [2, 2, 2, 2],
      linear: [2, 4, 5, 5],
      exponential: [1, 2, 4, 7],
      tripled: [1, 3, 9, 27],
      jittered: [7.5, 7.5, 7.5, 7.5],
    });
  });

  it('R13: a backoff that answers "fail" ends the job, whatever attempts are left', async ({ expect, queue }) => {
    const jobs = defineJobs({ email: { maxAttempts: 9, backoff: (attempt) => (attempt < 2 ? 0 : "fail") } });
    const mail = queue({ jobs });
    mail.on("job:email", (_, ctx) => {
      throw new Error(`no ${ctx.attempt}`);
    });
    const id = await mail.addJob("email", null);
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "failed", attempts: 2, error: { message: "no 2" } });
  });

  it("R13: failures without a backoff under a concurrency limit do not hang, and all jobs get their attempts", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    const attempts: unknown[] = [];
    mail.on("job:email", (payload, ctx) => {
      attempts.push(payload);
      if (ctx.attempt < 3) throw new Error("no");
    });
    await mail.addJobs(
      Array.from({ length: 10 }, (_, n) => ({ name: "email", payload: n, backoff: 0, maxAttempts: 3 })),
    );
    await mail.drain({ concurrency: 2 });
    expect(attempts).toHaveLength(30);
    expect(await mail.counts()).toMatchObject({ waiting: 0, active: 0, completed: 10, failed: 0 });
  });

  it("a job fails for good after its last attempt, with the last error", async ({ expect, queue, advance }) => {
    const mail = queue();
    mail.on("job:email", (_, ctx) => {
      throw new Error(`no ${ctx.attempt}`);
    });
    const id = await mail.addJob("email", null, { maxAttempts: 2, backoff: 1_000 });
    const retrying = next(mail, "retrying");
    await mail.run();
    await retrying;
    const failed = next(mail, "failed");
    await advance(1_000);
    expect((await failed).error).toMatchObject({ message: "no 2" });
    const job = await mail.get(id);
    expect(job).toMatchObject({
      state: "failed",
      attempts: 2,
      error: { code: "handler_failed", message: "no 2" },
    });
    expect(job?.error?.stack).toBeDefined();
  });

  it("R13: fail and UnrecoverableError end the job at once, whatever attempts are left", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:give-up", (_, ctx) => ctx.fail("no such address"));
    mail.on("job:throw", () => {
      throw new UnrecoverableError("gone");
    });
    const ids = await mail.addJobs([
      { name: "give-up", payload: null, maxAttempts: 5 },
      { name: "throw", payload: null, maxAttempts: 5 },
    ]);
    await mail.drain();
    const jobs = await Promise.all(ids.map((id) => mail.get(id)));
    expect(jobs.map((job) => job?.error?.message)).toEqual(["no such address", "gone"]);
    expect(jobs.map((job) => job?.state)).toEqual(["failed", "failed"]);
  });

  it("RetryAfterError sets the delay of the next attempt", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {
      throw new RetryAfterError("7m");
    });
    const retrying = next(mail, "retrying");
    await mail.addJob("email", null, { backoff: 5 });
    await mail.run();
    expect(await retrying).toMatchObject({ delayMs: 420_000 });
  });

  it("R13: release counts no attempt and runs the job again after its delay", async ({ expect, queue, advance }) => {
    const mail = queue();
    const attempts: number[] = [];
    mail.on("job:email", (_, ctx) => {
      attempts.push(ctx.attempt);
      if (attempts.length === 1) ctx.release("5s");
    });
    const id = await mail.addJob("email", null, { maxAttempts: 1 });
    const released = next(mail, "released");
    await mail.run();
    expect(await released).toMatchObject({ delayMs: 5_000 });
    expect(await mail.get(id)).toMatchObject({ state: "delayed", attempts: 0 });
    const completed = next(mail, "completed");
    await advance(5_000);
    await completed;
    expect(attempts).toEqual([1, 1]);
  });
});
