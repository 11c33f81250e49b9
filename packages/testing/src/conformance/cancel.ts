import { NOTHING, verb } from "./support.ts";
import { LEASE_MS } from "./test-worker.ts";

export const cancelCases = verb("cancel", (it, needs) => {
  it("R11: a cancel ends a waiting job", async ({ add, command, counts, expect, job, now, worker }) => {
    const [id] = await add({});
    expect(await command("cancel", id)).toEqual({ affected: 1, state: "cancelled" });
    expect(await job(id)).toMatchObject({ state: "cancelled", attempts: 0, finishedAt: now() });
    expect(await counts()).toEqual({ ...NOTHING, cancelled: 1 });
    expect(await worker().claim(1)).toHaveLength(0);
  });

  it("R11: a cancel ends a delayed job and one that waits for its retry", async ({
    add,
    advance,
    command,
    counts,
    expect,
    worker,
  }) => {
    const [retried, delayed] = await add({}, { delayMs: 1_000 });
    const one = worker();
    await one.retry(await one.take(1), 1_000);
    expect(await command("cancel", delayed)).toEqual({ affected: 1, state: "cancelled" });
    expect(await command("cancel", retried)).toEqual({ affected: 1, state: "cancelled" });
    await advance(2_000);
    expect(await one.claim(9)).toHaveLength(0);
    expect(await counts()).toEqual({ ...NOTHING, cancelled: 2 });
  });

  it("R11: a cancel asks a running job to stop, and its worker learns of it at its next exchange", async ({
    add,
    command,
    counts,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({}, {});
    const one = worker();
    const [held, other] = await one.take(2);
    expect(await command("cancel", id)).toEqual({ affected: 1, state: "active" });
    expect((await job(id)).state).toBe("active");
    expect((await one.look()).cancel).toEqual([held.token]);
    expect((await one.look()).cancel).toEqual([held.token]);
    await one.stopped(held);
    expect((await job(id)).state).toBe("cancelled");
    expect((await one.look()).cancel).toEqual([]);
    expect((await one.complete(other)).lost).toEqual([]);
    expect(await counts()).toEqual({ ...NOTHING, completed: 1, cancelled: 1 });
  });

  it("R11: only the worker that runs the job is asked", async ({ add, command, expect, worker }) => {
    await add({});
    const one = worker();
    await one.take(1);
    const [id] = await add({});
    const two = worker();
    const [held] = await two.take(1);
    await command("cancel", id);
    expect((await one.look()).cancel).toEqual([]);
    expect((await two.look()).cancel).toEqual([held.token]);
  });

  it("R11: a release honours a cancel", async ({ add, command, expect, job, worker }) => {
    const [a, b] = await add({}, {});
    const one = worker();
    const jobs = await one.take(2);
    await command("cancel", a);
    await command("cancel", b);
    await one.release(jobs[0]);
    await one.release(jobs[1], 5_000);
    for (const id of [a, b]) expect((await job(id)).state).toBe("cancelled");
  });

  it("R11: a retry honours a cancel", async ({ add, command, counts, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    await command("cancel", id);
    await one.retry(held, 1_000);
    expect((await job(id)).state).toBe("cancelled");
    expect(await counts()).toEqual({ ...NOTHING, cancelled: 1 });
  });

  it("R11: a failure for good of a job that was asked to stop is its cancellation", async ({
    add,
    command,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    await command("cancel", id);
    await one.fail(held);
    expect((await job(id)).state).toBe("cancelled");
  });

  it("R11: a job that completes before it could stop stays completed", async ({
    add,
    command,
    counts,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    await command("cancel", id);
    await one.complete(held, "42");
    expect(await job(id)).toMatchObject({ state: "completed", result: 42 });
    expect(await counts()).toEqual({ ...NOTHING, completed: 1 });
  });

  it("R11: recovery honours a cancel", async ({ add, advance, command, expect, job, worker }) => {
    const [id] = await add({});
    await worker().take(1);
    await command("cancel", id);
    const rescuer = worker();
    await rescuer.look();
    await advance(LEASE_MS + 1);
    expect((await rescuer.look()).interrupted).toEqual([]);
    expect(await job(id)).toMatchObject({ state: "cancelled", interruptions: 0 });
  });

  it("R11: what is given back unknown to its worker honours a cancel", async ({
    add,
    command,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    await one.take(1);
    await command("cancel", id);
    await one.exchange({ running: [] });
    expect((await job(id)).state).toBe("cancelled");
  });

  it("R11: a handler may end its attempt as cancelled without having been asked", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    await one.stopped(await one.take(1));
    expect((await job(id)).state).toBe("cancelled");
  });

  it("R11: a cancel of an ended job leaves it as it is", async ({ add, command, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    await one.complete(await one.take(1));
    expect(await command("cancel", id)).toEqual({ affected: 0, state: "completed" });
    expect((await job(id)).state).toBe("completed");
  });

  it("R11: a cancel of a job that is not there affects nothing", async ({ command, expect }) => {
    expect(await command("cancel", "nobody")).toEqual({ affected: 0 });
  });

  it("R11: a cancel asked twice is one", async ({ add, command, expect, job, worker }) => {
    const [a, b] = await add({}, {});
    const one = worker();
    const [held] = await one.take(1);
    await command("cancel", a);
    expect(await command("cancel", a)).toMatchObject({ state: "active" });
    await one.stopped(held);
    expect(await command("cancel", a)).toEqual({ affected: 0, state: "cancelled" });
    await command("cancel", b);
    expect(await command("cancel", b)).toEqual({ affected: 0, state: "cancelled" });
    expect((await job(b)).state).toBe("cancelled");
  });

  needs("admin");
  it("R11: a request to stop concerns the running attempt, not a later life of the job", async ({
    add,
    command,
    expect,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    await command("cancel", id);
    await one.stopped(held);
    await command("retry", id);
    const [again] = await one.take(1);
    expect((await one.look()).cancel).toEqual([]);
    await one.retry(again, 0);
    expect(await one.claimIds(1)).toEqual([id]);
  });
});
