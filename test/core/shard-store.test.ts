import { everything } from "@quayside/core";
import { comparePositions, MemoryStore, type NewJob, StoreDriver, storeOfId } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";

const QUEUE = "mail";
const job = (more: Partial<NewJob> = {}): NewJob => ({ queue: QUEUE, name: "email", payload: "null", ...more });
const open = (shard?: number) => {
  const clock = createManualClock();
  return {
    clock,
    driver: new StoreDriver(new MemoryStore(), {
      plugins: everything(),
      clock,
      ...(shard !== undefined && { storeNumber: shard }),
    }),
  };
};

describe("a store that is a shard", () => {
  it("R5: mints ids that say which, and finds its jobs by them", async () => {
    for (const shard of [undefined, 0, 1, 35, 36, 999]) {
      const { driver } = open(shard);
      const [receipt] = await driver.enqueue([job()]);
      expect(storeOfId(receipt?.id as string)).toBe(shard ?? 0);
      expect(await driver.get(QUEUE, receipt?.id as string)).toMatchObject({ id: receipt?.id });
      await driver.command({ type: "update", queue: QUEUE, id: receipt?.id as string, priority: 5 });
      expect(await driver.get(QUEUE, receipt?.id as string)).toMatchObject({ priority: 5 });
    }
  });
});

describe("positions of a list", () => {
  it("are where it goes on after each job, and compare as the list is ordered, running, waiting or ended", async () => {
    const { driver, clock } = open();
    for (let n = 0; n < 12; n++) {
      await driver.enqueue([job({ payload: `${n}`, priority: n % 3, ...(n % 4 === 0 && { delayMs: 1_000 }) })]);
      await clock.advance(1);
    }
    const round = { worker: "w", liveness: "time", leaseMs: 60_000 } as const;
    const claim = { limit: 6, queues: [{ queue: QUEUE }] };
    const { jobs } = await driver.exchange({ ...round, exchange: 1, settle: [], running: [], claim });
    for (const [at, { token }] of jobs.slice(0, 4).entries()) {
      await clock.advance(1);
      await driver.exchange({
        ...round,
        exchange: 2 + at,
        settle: [{ token, outcome: "completed" }],
        running: jobs.slice(at + 1).map((held) => held.token),
        claim: { limit: 0, queues: [] },
      });
    }
    const whole = await driver.list({ queue: QUEUE, positions: true });
    const positions = whole.positions ?? [];
    expect(whole.jobs).toHaveLength(12);
    expect(new Set(whole.jobs.map(({ state }) => state))).toEqual(
      new Set(["active", "waiting", "delayed", "completed"]),
    );
    expect(positions).toHaveLength(12);
    expect([...positions].reverse().sort(comparePositions)).toEqual(positions);
    for (const [at, cursor] of positions.entries()) {
      const rest = await driver.list({ queue: QUEUE, cursor });
      expect(rest.jobs.map(({ id }) => id)).toEqual(whole.jobs.slice(at + 1).map(({ id }) => id));
    }
    expect(await driver.list({ queue: QUEUE })).toEqual({ jobs: whole.jobs });
  });
});
