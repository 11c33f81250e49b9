import { LIMITS, type StoredError } from "@quayside/core";
import { NOTHING, verb } from "./support.ts";
import { BOOM, LEASE_MS, QUEUE } from "./test-worker.ts";

const TIMEOUT: StoredError = { code: "timeout", message: "The attempt took too long." };

export const attemptsCases = verb("exceptions, expiry and logs", (it, needs) => {
  it("R13: a job fails for good at its maxExceptions, whatever attempts are left", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({ maxAttempts: 9, maxExceptions: 2 });
    const one = worker();
    await one.retry(await one.take(1), 0);
    expect(await job(id)).toMatchObject({ state: "waiting", attempts: 1, exceptions: 1, maxExceptions: 2 });
    await one.retry(await one.take(1), 0);
    expect(await job(id)).toMatchObject({ state: "failed", attempts: 2, exceptions: 2, error: BOOM });
  });

  it("R13: timeouts, releases and interruptions are no exceptions", async ({
    add,
    expect,
    interrupt,
    job,
    untilDue,
    worker,
  }) => {
    const [id] = await add({ maxAttempts: 9, maxExceptions: 1 });
    const one = worker();
    for (let n = 0; n < 3; n++) {
      const [{ token }] = await one.take(1);
      await one.exchange({ settle: [{ token, outcome: "failed", error: TIMEOUT, retryMs: 0 }] });
    }
    await one.release(await one.take(1));
    await interrupt(one);
    expect(await job(id)).toMatchObject({ attempts: 3, exceptions: 0, interruptions: 1 });
    await untilDue(id);
    await one.retry(await one.take(1), 0);
    expect(await job(id)).toMatchObject({ state: "failed", attempts: 4, exceptions: 1 });
  });

  it("R13: the store counts attempts, whatever a worker that miscounts asks for", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({ maxAttempts: 2 });
    const one = worker();
    await one.retry(await one.take(1), 0);
    await one.retry(await one.take(1), 0);
    expect(await job(id)).toMatchObject({ state: "failed", attempts: 2 });
  });

  needs("admin");
  it("R13: an operator's retry counts exceptions anew", async ({ add, command, expect, job, worker }) => {
    const [id] = await add({ maxAttempts: 9, maxExceptions: 1 });
    const one = worker();
    await one.retry(await one.take(1), 0);
    await command("retry", id);
    expect(await job(id)).toMatchObject({ attempts: 0, exceptions: 0 });
    await one.complete(await one.take(1));
    expect((await job(id)).state).toBe("completed");
  });

  needs("expiry");
  it("R1: a job that nobody started in its time ends as failed, code expired", async ({
    add,
    advance,
    counts,
    expect,
    job,
    now,
    worker,
  }) => {
    const [id, next] = await add({ expiresInMs: 1_000 }, { expiresInMs: 1_001 });
    await advance(1_000);
    expect((await job(id)).state).toBe("waiting");
    expect(await worker().claimIds(9)).toEqual([next]);
    expect(await job(id)).toMatchObject({
      state: "failed",
      error: { code: "expired" },
      attempts: 0,
      interruptions: 0,
      finishedAt: now(),
    });
    expect(await counts()).toEqual({ ...NOTHING, active: 1, failed: 1 });
  });

  it("R1: expiry counts from the add, also of a delayed job", async ({ add, advance, expect, job, worker }) => {
    const [id] = await add({ expiresInMs: 1_000, delayMs: 999 });
    const [late] = await add({ expiresInMs: 1_000, delayMs: 5_000 });
    await advance(999);
    expect(await worker().claimIds(9)).toEqual([id]);
    await advance(4_001);
    expect(await worker().claimIds(9)).toEqual([]);
    expect((await job(late)).error?.code).toBe("expired");
  });

  it("R1: what has started in time goes on, but is not started again", async ({
    add,
    advance,
    expect,
    job,
    worker,
  }) => {
    const [a, b] = await add({ expiresInMs: 1_000 }, { expiresInMs: 1_000 });
    const one = worker();
    const [first, second] = await one.take(2);
    await advance(2_000);
    expect(await worker().claimIds(9)).toEqual([]);
    await one.complete(first);
    expect((await job(a)).state).toBe("completed");
    await one.retry(second, 0);
    expect(await one.claimIds(9)).toEqual([]);
    expect(await job(b)).toMatchObject({ state: "failed", error: { code: "expired" }, attempts: 1 });
  });

  it("R32: expired jobs go at most 256 per exchange, which asks to be repeated; then the jobs behind them are claimed", async ({
    add,
    advance,
    counts,
    driver,
    expect,
    worker,
  }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: { failed: 1_000 } });
    await add(...Array.from({ length: 600 }, () => ({ expiresInMs: 10 })));
    await advance(10);
    const [id] = await add({});
    const one = worker();
    const claimed: string[] = [];
    for (let failed = 0; failed < 600 || claimed.length === 0; ) {
      const { jobs, nextWakeMs } = await one.exchange({ limit: 9 });
      claimed.push(...jobs.map(({ job }) => job.id));
      const now = (await counts()).failed;
      // Each shard of a split queue has a limit of its own.
      expect(now - failed).toBeLessThanOrEqual(256 * 4);
      expect(now === 600 || nextWakeMs === 0 || now > failed).toBe(true);
      failed = now;
    }
    expect(claimed).toEqual([id]);
    expect(await counts()).toEqual({ ...NOTHING, active: 1, failed: 600 });
  });

  needs("dedupe", "expiry");
  it("R20: expiry frees the dedupe key", async ({ add, advance, expect, worker }) => {
    const dedupe = { key: "k", mode: "drop" } as const;
    const [id] = await add({ dedupe, expiresInMs: 10 });
    await advance(10);
    await worker().claim(1);
    const [next] = await add({ dedupe });
    expect(next === id).toBe(false);
  });

  needs("admin", "expiry");
  it("R13: an expired job that an operator retries does not expire again", async ({
    add,
    advance,
    command,
    expect,
    worker,
  }) => {
    const [id] = await add({ expiresInMs: 10 });
    await advance(10);
    const one = worker();
    await one.claim(1);
    await command("retry", id);
    await advance(60_000);
    expect(await one.claimIds(1)).toEqual([id]);
  });

  needs();
  it("R9: lines logged by a running job are seen while it runs, and kept when it ends", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    await one.exchange({ progress: [{ token: held.token, log: ["one", "two"] }] });
    expect((await job(id)).logs).toEqual(["one", "two"]);
    await one.exchange({ progress: [{ token: held.token, value: 0.5 }] });
    expect(await job(id)).toMatchObject({ logs: ["one", "two"], progress: 0.5 });
    await one.exchange({
      progress: [{ token: held.token, value: 1, log: ["three"] }],
      settle: [{ token: held.token, outcome: "completed" }],
    });
    expect(await job(id)).toMatchObject({ state: "completed", logs: ["one", "two", "three"], progress: 1 });
  });

  needs("admin");
  it("R9: the log goes on over attempts, whatever they came to", async ({
    add,
    advance,
    command,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    const log = async (line: string) => {
      const [held] = await one.take(1);
      await one.exchange({ progress: [{ token: held.token, log: [line] }] });
      return held;
    };
    await one.retry(await log("retried"), 0);
    await one.release(await log("released"));
    await one.release(await log("released to later"), 10);
    await advance(10);
    await one.fail(await log("failed"));
    await command("retry", id);
    await one.complete(await log("completed"));
    expect((await job(id)).logs).toEqual(["retried", "released", "released to later", "failed", "completed"]);
  });

  needs();
  it("R10: what an attempt logged before its worker died is kept", async ({
    add,
    advance,
    command,
    expect,
    job,
    untilDue,
    worker,
  }) => {
    const [id] = await add({});
    for (const line of ["first", "second"]) {
      const one = worker();
      const [held] = await one.take(1);
      await one.exchange({ progress: [{ token: held.token, log: [line] }] });
      if (line === "second") await command("cancel", id);
      const rescuer = worker();
      await rescuer.look();
      await advance(LEASE_MS + 1);
      await rescuer.look();
      if (line === "first") await untilDue(id);
    }
    expect(await job(id)).toMatchObject({ state: "cancelled", logs: ["first", "second"] });
  });

  it("R9: of a long log the last lines are kept", async ({ add, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    const lines = Array.from({ length: 170 }, (_, n) => `line ${n}`);
    const [held] = await one.take(1);
    await one.exchange({ progress: [{ token: held.token, log: lines.slice(0, 60) }] });
    await one.exchange({ progress: [{ token: held.token, log: lines.slice(60, 130) }] });
    expect((await job(id)).logs).toEqual(lines.slice(30, 130));
    await one.retry(held, 0);
    const [again] = await one.take(1);
    await one.exchange({ progress: [{ token: again.token, log: lines.slice(130) }] });
    await one.complete(again);
    const { logs } = await job(id);
    expect(logs).toHaveLength(LIMITS.logLines);
    expect(logs).toEqual(lines.slice(70));
  });

  it("R9: reports of tokens that the worker does not hold change nothing", async ({ add, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    await worker().exchange({ progress: [{ token: held.token, log: ["forged"], value: 1 }] });
    await one.exchange({ progress: [{ token: "nobody", log: ["forged"] }] });
    const { logs, progress } = await job(id);
    expect({ logs, progress }).toEqual({ logs: [], progress: undefined });
    await one.complete(held);
    await one.exchange({ progress: [{ token: held.token, log: ["late"] }] });
    expect((await job(id)).logs).toEqual([]);
    expect(await job(id, QUEUE)).toMatchObject({ state: "completed" });
  });
});
