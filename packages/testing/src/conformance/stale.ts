import { NOTHING, verb } from "./support.ts";
import { BOOM, LEASE_MS } from "./test-worker.ts";

/** Test cases about a worker that returns after its jobs were recovered by another. */
export const staleCases = verb("stale owner", (it) => {
  for (const [what, settle] of [
    ["complete", (token: string) => ({ settle: [{ token, outcome: "completed" as const }] })],
    ["fail", (token: string) => ({ settle: [{ token, outcome: "failed" as const, error: BOOM }] })],
    ["retry", (token: string) => ({ settle: [{ token, outcome: "failed" as const, error: BOOM, retryMs: 0 }] })],
    ["release", (token: string) => ({ settle: [{ token, outcome: "released" as const, delayMs: 0 }] })],
    ["cancelled settlement", (token: string) => ({ settle: [{ token, outcome: "cancelled" as const }] })],
    ["renewal", (token: string) => ({ running: [token] })],
    ["progress", (token: string) => ({ running: [token], progress: [{ token, value: 99 }] })],
  ] as const) {
    it(`R10: a stale owner's ${what} loses, and the new owner does not notice`, async ({
      add,
      advance,
      another,
      counts,
      expect,
      job,
      untilDue,
      worker,
    }) => {
      const [id] = await add({});
      const stale = worker();
      const [old] = await stale.take(1);
      const rescuer = worker({ driver: await another() });
      await rescuer.look();
      await advance(LEASE_MS + 1);
      await rescuer.look();
      await untilDue(id);
      const [held] = await rescuer.take(1);
      const before = await job(id);
      expect((await stale.exchange(settle(old.token))).lost).toEqual([old.token]);
      expect(await job(id)).toEqual(before);
      expect(await counts()).toEqual({ ...NOTHING, active: 1 });
      expect((await rescuer.complete(held)).lost).toEqual([]);
      expect(await job(id)).toMatchObject({ state: "completed", attempts: 1, interruptions: 1 });
    });
  }

  it("R10: a stale owner loses while the job waits to be run again, too", async ({
    add,
    advance,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({});
    const stale = worker();
    const [old] = await stale.take(1);
    const rescuer = worker();
    await rescuer.look();
    await advance(LEASE_MS + 1);
    await rescuer.look();
    expect((await stale.complete(old)).lost).toEqual([old.token]);
    expect(await job(id)).toMatchObject({ attempts: 0, interruptions: 1 });
  });
});
