import { DEFAULTS } from "@quayside/core";
import { verb } from "./support.ts";
import { LEASE_MS } from "./test-worker.ts";

/** Test cases about the conditions under which a silent worker counts as dead. */
export const livenessCases = verb("recover", (it) => {
  it("R10: a lease that is renewed is not taken", async ({ add, advance, another, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    const rescuer = worker({ driver: await another() });
    for (let n = 0; n < 12; n++) {
      await advance(LEASE_MS / 3);
      await rescuer.look();
      expect((await one.look()).lost).toEqual([]);
    }
    expect(await job(id)).toMatchObject({ state: "active", interruptions: 0 });
    expect((await one.complete(held)).lost).toEqual([]);
  });

  it("R10: a settlement of other jobs renews what still runs", async ({ add, advance, another, expect, worker }) => {
    await add({}, {}, {}, {});
    const one = worker();
    const [slow] = await one.take(1);
    const rescuer = worker({ driver: await another() });
    for (let n = 0; n < 3; n++) {
      await advance(LEASE_MS - 1_000);
      await rescuer.look();
      await one.complete(await one.take(1));
    }
    expect((await one.complete(slow)).lost).toEqual([]);
  });

  it("R10: a late worker whose lease nobody judged settles its own first", async ({
    add,
    advance,
    expect,
    job,
    worker,
  }) => {
    const [a, b] = await add({}, {});
    const one = worker();
    const [held] = await one.take(2);
    await advance(10 * LEASE_MS);
    expect((await one.complete(held)).lost).toEqual([]);
    expect((await job(a)).state).toBe("completed");
    expect(await job(b)).toMatchObject({ state: "active", interruptions: 0 });
  });

  it("R10: a late worker that was watched but not judged yet keeps what it holds", async ({
    add,
    advance,
    another,
    expect,
    worker,
  }) => {
    await add({}, {});
    const one = worker();
    const [done, runs] = await one.take(2);
    const here = worker();
    const there = worker({ driver: await another() });
    for (const other of [here, there]) await other.look();
    await advance(LEASE_MS + 1);
    expect((await one.complete(done)).lost).toEqual([]);
    for (const other of [here, there]) await other.look();
    expect((await one.complete(runs)).lost).toEqual([]);
  });

  it("R10: after a sleep of the whole machine nobody is judged before it had its turn", async ({
    add,
    advance,
    another,
    expect,
    worker,
  }) => {
    await add({});
    const one = worker();
    const [held] = await one.take(1);
    const rescuer = worker({ driver: await another() });
    await rescuer.look();
    await advance(20 * LEASE_MS);
    await rescuer.look();
    expect((await one.complete(held)).lost).toEqual([]);
  });

  it("R10: who looks when it is told to finds the jobs of a dead worker in a few looks", async ({
    add,
    advance,
    another,
    expect,
    now,
    worker,
  }) => {
    const [id] = await add({});
    await worker().take(1);
    const rescuer = worker({ driver: await another() });
    const deadline = now() + 4 * LEASE_MS;
    for (let looks = 0; looks < 8; looks++) {
      const { jobs, nextWakeMs } = await rescuer.exchange({ limit: 1 });
      if (jobs.length > 0) {
        expect(jobs.map(({ job }) => job.id)).toEqual([id]);
        return;
      }
      expect(nextWakeMs).toBeDefined();
      await advance(nextWakeMs as number);
      expect(now()).toBeLessThanOrEqual(deadline);
    }
    throw new Error("The job was not found in 8 looks.");
  });

  it("R10: whose lease is long finds a dead worker whose lease was short, and the other way round", async ({
    add,
    advance,
    another,
    expect,
    worker,
  }) => {
    const [a, b] = await add({}, {});
    await worker({ leaseMs: 2_000 }).take(1);
    await worker({ leaseMs: 300_000 }).take(1);
    const rescuer = worker({ driver: await another() });
    const found: string[] = [];
    for (let looks = 0; looks < 20 && found.length < 2; looks++) {
      const { jobs, nextWakeMs } = await rescuer.exchange({ limit: 1 });
      found.push(...jobs.map(({ job }) => job.id));
      await rescuer.complete(jobs);
      await advance(jobs.length > 0 ? 0 : (nextWakeMs as number));
    }
    expect(found).toEqual([a, b]);
  });

  it("R10: one that fell silent does not keep the jobs of the living from being worked", async ({
    add,
    advance,
    expect,
    worker,
  }) => {
    await add({});
    await worker().take(1);
    const [b] = await add({});
    const rescuer = worker();
    await rescuer.look();
    await advance(LEASE_MS + 1);
    const [held] = await rescuer.take(1);
    expect(held.job).toMatchObject({ id: b, attempts: 1 });
  });

  it("R10: where a lock shows who lives, the dead lose their jobs at once and the silent only after the cap", async ({
    add,
    advance,
    another,
    driver,
    expect,
    job,
    untilDue,
    worker,
  }) => {
    const registration = await driver.register("locked");
    if (registration.liveness !== "lock") return registration.leave();
    const [id] = await add({});
    const one = worker({ key: "locked", liveness: "lock" });
    const [held] = await one.take(1);
    const rescuer = worker({ driver: await another() });
    for (let silentMs = 0; silentMs < DEFAULTS.silenceCapMs - LEASE_MS; silentMs += LEASE_MS) {
      await rescuer.look();
      await advance(LEASE_MS);
    }
    await rescuer.look();
    expect(await job(id)).toMatchObject({ state: "active", interruptions: 0 });
    expect((await one.look()).lost).toEqual([]);
    registration.leave();
    // A lock is released a moment after the request.
    for (let looks = 0; looks < 100 && (await job(id)).state === "active"; looks++) await rescuer.look();
    expect((await job(id)).interruptions).toBe(1);
    await untilDue(id);
    expect(await rescuer.claimIds(1)).toEqual([id]);
    expect((await one.complete(held)).lost).toEqual([held.token]);
  });

  it("R23: a clock set forward does not shorten the patience with a silent worker whose lock lives", async ({
    add,
    advance,
    another,
    driver,
    expect,
    job,
    jump,
    worker,
  }) => {
    const registration = await driver.register("throttled");
    if (registration.liveness !== "lock") return registration.leave();
    const [id] = await add({});
    const one = worker({ key: "throttled", liveness: "lock" });
    const [held] = await one.take(1);
    const rescuer = worker({ driver: await another() });
    // A hidden page may get one task per minute.
    for (let n = 0; n < 5; n++) {
      await rescuer.look();
      await advance(LEASE_MS / 3);
    }
    await jump(2 * DEFAULTS.silenceCapMs);
    await rescuer.look();
    expect(await job(id)).toMatchObject({ state: "active", interruptions: 0 });
    expect((await one.complete(held)).lost).toEqual([]);
    registration.leave();
  });

  it("R10: a worker whose lock lives but that stays silent is given up after the cap", async ({
    add,
    advance,
    another,
    driver,
    expect,
    job,
    worker,
  }) => {
    const registration = await driver.register("frozen");
    if (registration.liveness !== "lock") return registration.leave();
    const [id] = await add({});
    await worker({ key: "frozen", liveness: "lock" }).take(1);
    const rescuer = worker({ driver: await another() });
    for (let silentMs = 0; silentMs <= DEFAULTS.silenceCapMs + LEASE_MS; silentMs += LEASE_MS) {
      await rescuer.look();
      await advance(LEASE_MS);
    }
    await rescuer.look();
    expect((await job(id)).interruptions).toBe(1);
    registration.leave();
  });
});
