import { DEFAULTS } from "@quayside/core";
import { KEEP_NONE, NOTHING, verb } from "./support.ts";
import { BOOM, QUEUE } from "./test-worker.ts";

export const replayCases = verb("replay", (it) => {
  it("R9: a replayed exchange answers the same settlements and the same jobs", async ({
    add,
    counts,
    expect,
    worker,
  }) => {
    await add({}, {}, {}, {}, {}, {});
    const one = worker();
    const [done, failed, retried] = await one.take(3);
    const reply = await one.exchange({
      settle: [
        { token: done.token, outcome: "completed", result: "1" },
        { token: failed.token, outcome: "failed", error: BOOM },
        { token: retried.token, outcome: "failed", error: BOOM, retryMs: 60_000 },
        { token: "made up", outcome: "completed" },
      ],
      limit: 2,
    });
    expect(reply.jobs).toHaveLength(2);
    expect(reply.lost).toEqual(["made up"]);
    const state = { ...NOTHING, waiting: 1, delayed: 1, active: 2, completed: 1, failed: 1 };
    expect(await counts()).toEqual(state);
    for (let time = 0; time < 3; time++) {
      const again = await one.repeat();
      expect(again.jobs).toEqual(reply.jobs);
      expect(again.lost).toEqual(reply.lost);
      expect(again.exchange).toBe(reply.exchange);
      expect(await counts()).toEqual(state);
    }
  });

  it("R9: an idle worker's numbers go on for as long as it said it may be silent", async ({
    add,
    advance,
    another,
    expect,
    refused,
    worker,
  }) => {
    await add({});
    const one = worker({ key: "patient", leaseMs: 86_400_000 });
    await one.complete(await one.take(1));
    const other = worker({ driver: await another() });
    for (let hour = 0; hour < 20; hour++) {
      await advance(3_600_000);
      await other.look();
    }
    const successor = worker({ key: "patient", leaseMs: 86_400_000 });
    await refused(successor.look(), "stale_exchange");
    expect((await one.repeat()).exchange).toBe(2);
  });

  it("R9: a replay does not spend a second attempt", async ({ add, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    await one.retry(await one.take(1), 1_000);
    await one.repeat();
    expect((await job(id)).attempts).toBe(1);
  });

  it("R9: a replay of the end of a job of which nothing is kept does not call it lost", async ({
    add,
    counts,
    driver,
    expect,
    worker,
  }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    await add({}, {});
    const one = worker();
    const [done] = await one.take(1);
    const reply = await one.exchange({ settle: [{ token: done.token, outcome: "completed" }], limit: 1 });
    expect(await one.repeat()).toMatchObject({ jobs: reply.jobs, lost: [] });
    expect(await counts()).toEqual({ ...NOTHING, active: 1 });
  });

  it("R9: a claim whose answer was lost is answered again with the same jobs", async ({
    add,
    counts,
    expect,
    worker,
  }) => {
    const [, first, second] = await add({}, {}, { id: "own" }, {});
    const one = worker();
    await one.take(1);
    const lost = await one.exchange({ limit: 2 });
    const again = await one.repeat();
    expect(again.jobs).toEqual(lost.jobs);
    expect(again.jobs.map(({ job }) => job.id)).toEqual([first, second]);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1, active: 3 });
    expect((await one.complete(again.jobs)).lost).toEqual([]);
  });

  it("R9: a claim whose answer was lost and never asked for again is given back, not counted", async ({
    add,
    counts,
    expect,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    await one.exchange({ limit: 1 });
    const reply = await one.exchange({ running: [], limit: 1 });
    expect(reply.jobs.map(({ job }) => [job.id, job.attempts, job.interruptions])).toEqual([[id, 1, 0]]);
    expect(await counts()).toEqual({ ...NOTHING, active: 1 });
  });

  it("R9: a replay takes nothing that was added in between", async ({ add, expect, worker }) => {
    const [first] = await add({});
    const one = worker();
    await one.exchange({ limit: 2 });
    await add({});
    expect((await one.repeat()).jobs.map(({ job }) => job.id)).toEqual([first]);
  });

  it("R9: a replay after a cancel tells of the cancel", async ({ add, command, expect, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = (await one.exchange({ limit: 1 })).jobs;
    await command("cancel", id);
    await one.repeat();
    expect((await one.look()).cancel).toEqual([held?.token]);
  });

  it("R9: a number lower than the last one is refused and changes nothing", async ({
    add,
    driver,
    expect,
    job,
    refused,
    worker,
  }) => {
    const [a, b] = await add({}, {});
    const one = worker();
    const first = one.exchange({ limit: 1 });
    const [held] = (await first).jobs;
    const early = one.last;
    await one.exchange({ limit: 1 });
    await refused(driver.exchange(early), "stale_exchange");
    await refused(
      driver.exchange({ ...early, settle: [{ token: held?.token as string, outcome: "completed" }], running: [] }),
      "stale_exchange",
    );
    expect((await job(a)).state).toBe("active");
    expect((await job(b)).state).toBe("active");
    expect((await one.look()).lost).toEqual([]);
  });

  it("R9: the numbers of one worker are of no concern to another", async ({ add, expect, worker }) => {
    const ids = await add({}, {}, {});
    const one = worker();
    for (let n = 0; n < 5; n++) await one.look();
    expect(await one.claimIds(1)).toEqual(ids.slice(0, 1));
    expect(await worker().claimIds(1)).toEqual(ids.slice(1, 2));
  });

  it("R9: a replay does not hand out again what was taken back in the meantime", async ({
    add,
    advance,
    another,
    expect,
    job,
    untilDue,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = (await one.exchange({ limit: 1 })).jobs;
    const rescuer = worker({ driver: await another() });
    await rescuer.look();
    await advance(rescuer.leaseMs + 1);
    await rescuer.look();
    await untilDue(id);
    const [rescued] = await rescuer.take(1);
    expect((await one.repeat()).jobs).toEqual([]);
    expect((await one.exchange({ settle: [{ token: held?.token as string, outcome: "completed" }] })).lost).toEqual([
      held?.token,
    ]);
    expect((await job(id)).state).toBe("active");
    expect((await rescuer.complete(rescued)).lost).toEqual([]);
  });

  it("R9: a replay tells again which jobs ended by their interruptions", async ({
    add,
    advance,
    expect,
    interrupt,
    untilDue,
    worker,
  }) => {
    const [id] = await add({});
    const rescuer = worker();
    for (let n = 1; n < DEFAULTS.maxInterruptions; n++) {
      await interrupt(rescuer);
      await untilDue(id);
    }
    await worker().take(1);
    await rescuer.look();
    await advance(rescuer.leaseMs + 1);
    const reply = await rescuer.look();
    expect(reply.interrupted.map((job) => job.id)).toEqual([id]);
    expect((await rescuer.repeat()).interrupted).toEqual(reply.interrupted);
    expect((await rescuer.look()).interrupted).toEqual([]);
  });
});
