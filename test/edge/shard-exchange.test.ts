import type { ExchangeRequest } from "@quayside/core/engine";
import { ShardedDriver } from "@quayside/edge/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { fakeShards } from "./fake-shards.ts";

const round = (exchange: number, more: Partial<ExchangeRequest> = {}): ExchangeRequest => ({
  worker: "w",
  liveness: "time",
  leaseMs: 30_000,
  exchange,
  settle: [],
  running: [],
  claim: { limit: 0, queues: [] },
  ...more,
});
const claim = (limit: number) => ({ claim: { limit, queues: [{ queue: "mail" }] } });

/** A driver over shards that hold so many jobs; `asked` are the shards of the exchanges since it was last asked. */
function open(stock: number[], memos = false) {
  const fake = fakeShards(stock);
  const clock = createManualClock();
  const make = () => new ShardedDriver(fake.open, { shards: stock.length, clock, memos, random: () => 0.5 });
  const driver = make();
  const asked = () => fake.sent.splice(0).map(({ shard }) => shard);
  const limits = () => fake.sent.splice(0).map(({ shard, ask }) => [shard, (ask as ExchangeRequest).claim.limit]);
  return { ...fake, driver, make, asked, limits, clock };
}

describe("a worker's exchange over shards", () => {
  it("asks no more shards than it takes to fill the limit, and each with what is left of it", async () => {
    const { driver, limits } = open([9, 9, 9, 9]);
    expect((await driver.exchange(round(1, claim(5)))).jobs).toHaveLength(5);
    expect(limits()).toEqual([[expect.any(Number), 5]]);
    const few = open([2, 2, 2, 2]);
    expect((await few.driver.exchange(round(1, claim(5)))).jobs).toHaveLength(5);
    expect(few.limits().map(([, limit]) => limit)).toEqual([5, 3, 1]);
  });

  it("asks a shard where it settles for more before others, and so writes one lease", async () => {
    const { driver, asked } = open([9, 9, 9, 9]);
    const { jobs } = await driver.exchange(round(1, claim(2)));
    const [first] = asked();
    const settle = jobs.map(({ token }) => ({ token, outcome: "completed" as const }));
    expect((await driver.exchange(round(2, { settle, ...claim(2) }))).jobs).toHaveLength(2);
    expect(asked()).toEqual([first]);
  });

  it("begins with another shard after a while, so that none starves beside full ones", async () => {
    const { driver, stock, asked } = open([1_000, 1_000, 1_000, 1_000]);
    const met = new Map<number, number>();
    let held: readonly string[] = [];
    for (let n = 1; n <= 64; n++) {
      const settle = held.map((token) => ({ token, outcome: "completed" as const }));
      const { jobs } = await driver.exchange(round(n, { settle, ...claim(1) }));
      held = jobs.map(({ token }) => token);
      for (const { job } of jobs) {
        const shard = Number(job.id.split("/")[0]);
        met.set(shard, (met.get(shard) ?? 0) + 1);
      }
    }
    expect([...met.values()]).toEqual([16, 16, 16, 16]);
    expect(stock).toEqual([984, 984, 984, 984]);
    // Two where the turn goes to the next one: settled here, claimed there.
    expect(asked()).toHaveLength(64 + 7);
  });

  it("finds the only job wherever it lies, with room for one", async () => {
    for (let shard = 0; shard < 4; shard++) {
      const stock = [0, 0, 0, 0];
      stock[shard] = 1;
      const { driver } = open(stock);
      expect((await driver.exchange(round(1, claim(1)))).jobs).toHaveLength(1);
    }
  });

  it("does not ask a shard again that is known to be empty, until its stream tells of something or it is its turn", async () => {
    const { driver, stock, asked, hear } = open([0, 0, 0, 0]);
    for (let shard = 0; shard < 4; shard++) hear(shard, 1);
    await driver.exchange(round(1, claim(5)));
    const order = asked();
    expect(order).toHaveLength(4);
    const [turn, other] = order as [number, number];
    await driver.exchange(round(2, claim(5)));
    expect(asked()).toEqual([turn]);
    stock[other] = 3;
    hear(other, 2);
    expect((await driver.exchange(round(3, claim(5)))).jobs).toHaveLength(3);
    expect(asked().sort()).toEqual([turn, other].sort());
    // Its turn comes, whatever is known of it.
    const later = new Set<number>();
    for (let n = 4; n <= 40; n++) {
      await driver.exchange(round(n, claim(5)));
      for (const shard of asked()) later.add(shard);
    }
    expect(later.size).toBe(4);
  });

  it("asks all shards where no stream tells", async () => {
    const { driver, asked } = open([0, 0, 0, 0]);
    for (let n = 1; n <= 3; n++) {
      await driver.exchange(round(n, claim(5)));
      expect(asked()).toHaveLength(4);
    }
  });

  it("settles and renews each job in its shard, though all count their tokens alike", async () => {
    const { driver, sent } = open([1, 1, 1, 1]);
    const { jobs } = await driver.exchange(round(1, claim(9)));
    const tokens = jobs.map(({ token }) => token);
    expect(new Set(tokens).size).toBe(4);
    sent.length = 0;
    await driver.exchange(
      round(2, {
        settle: tokens.slice(0, 2).map((token) => ({ token, outcome: "completed" })),
        running: tokens.slice(2),
        progress: [{ token: tokens[3] as string, value: 0.5 }],
      }),
    );
    for (const [at, { job }] of jobs.entries()) {
      const ask = sent.find(({ shard }) => shard === Number(job.id.split("/")[0]))?.ask as ExchangeRequest;
      expect(ask.settle).toEqual(at < 2 ? [{ token: "1.0", outcome: "completed" }] : []);
      expect(ask.running).toEqual(at < 2 ? [] : ["1.0"]);
      expect(ask.progress).toEqual(at === 3 ? [{ token: "1.0", value: 0.5 }] : []);
    }
  });

  it("where one fails, the others give, settle and renew; what the failed one gave comes later", async () => {
    for (let broken = 0; broken < 4; broken++) {
      for (const how of ["fail", "lose"] as const) {
        const { driver, stock, fail, lose, mend, clock } = open([1, 1, 1, 1]);
        (how === "fail" ? fail : lose)(broken);
        const woken = new Promise<void>((resolve) => driver.watch(({ kind }) => void (kind === "ready" && resolve())));
        const first = await driver.exchange(round(1, claim(9)));
        expect(first.jobs).toHaveLength(3);
        expect(first.troubles).toMatchObject([{ code: "network", details: { shard: `${broken}` } }]);
        mend(broken);
        await clock.advance(1_000);
        await woken;
        const running = first.jobs.map(({ token }) => token);
        const { jobs } = await driver.exchange(round(2, { running, ...claim(9) }));
        const more = jobs.length > 0 ? [] : (await driver.exchange(round(3, { running, ...claim(9) }))).jobs;
        expect([...jobs, ...more].map(({ job }) => job.id.split("/")[0])).toEqual([`${broken}`]);
        expect(stock).toEqual([0, 0, 0, 0]);
      }
    }
  });

  it("never gives more than there is room for, whichever shard's answer is lost", async () => {
    for (let broken = 0; broken < 4; broken++) {
      const { driver, stock, lose, clock } = open([0, 0, 0, 0]);
      stock[broken] = 4;
      lose(broken);
      expect((await driver.exchange(round(1, claim(5)))).jobs).toEqual([]);
      await clock.advance(1_000);
      for (let other = 0; other < 4; other++) stock[other] = 5;
      expect((await driver.exchange(round(2, claim(5)))).jobs).toHaveLength(5);
    }
  });

  it("where none answers, it fails as a whole; sent again it gives what it gave and takes nothing more", async () => {
    const { driver, stock, lose } = open([1, 1, 1, 1]);
    for (let shard = 0; shard < 4; shard++) lose(shard);
    await expect(driver.exchange(round(1, claim(9)))).rejects.toMatchObject({ code: "network" });
    const gone = stock.reduce((sum, left) => sum + (1 - left), 0);
    for (let shard = 0; shard < 4; shard++) stock[shard] = 9;
    const again = await driver.exchange(round(1, claim(9)));
    expect(again.jobs).toHaveLength(gone);
    expect((await driver.exchange(round(1, claim(9)))).jobs).toEqual(again.jobs);
    expect(stock).toEqual([9, 9, 9, 9]);
  });

  it("a number lower than the last one is refused, and no shard is asked", async () => {
    const { driver, asked } = open([1, 1, 1, 1]);
    await driver.exchange(round(5, claim(1)));
    asked();
    await expect(driver.exchange(round(4, claim(9)))).rejects.toMatchObject({ code: "stale_exchange" });
    expect(asked()).toEqual([]);
  });

  it("takes its leave of the shards that know it, and of no others", async () => {
    const { driver, stock, asked, sent } = open([0, 0, 0, 0]);
    stock[2] = 1;
    const { jobs } = await driver.exchange(round(1, claim(1)));
    // It holds nothing there any more, but its lease is known.
    const settle = jobs.map(({ token }) => ({ token, outcome: "completed" as const }));
    await driver.exchange(round(2, { settle }));
    asked();
    await driver.exchange(round(3, { leave: true }));
    expect(sent.map(({ shard, ask }) => [shard, (ask as ExchangeRequest).leave])).toEqual([[2, true]]);
  });

  it("what belongs to no shard is lost", async () => {
    const { driver, asked } = open([0, 0, 0, 0]);
    expect(await driver.exchange(round(1, { running: ["7:1.0"] }))).toMatchObject({ lost: ["7:1.0"], jobs: [] });
    expect(asked()).toEqual([]);
  });

  it("a claim's limit for one queue is shared out as well", async () => {
    const { driver, limits, sent } = open([2, 2, 2, 2]);
    const queues = [{ queue: "mail", limit: 3 }];
    await driver.exchange(round(1, { claim: { limit: 9, queues } }));
    expect(sent.map(({ ask }) => (ask as ExchangeRequest).claim.queues[0]?.limit)).toEqual([3, 1]);
    expect(limits().map(([, limit]) => limit)).toEqual([9, 7]);
  });

  it("a driver made anew for each call remembers by what the reply says to bring along", async () => {
    const { make, asked, stock } = open([0, 0, 0, 1], true);
    const first = await make().exchange(round(1, claim(5)));
    const { memo } = first as { memo?: string };
    expect(memo).toMatch(/^1:[0-9ab]{4}$/);
    asked();
    // Told that nothing has come: only the shard that holds something, and the one whose turn it is.
    await make().exchange({ ...round(2, claim(5)), memo, quiet: true } as ExchangeRequest);
    expect(new Set(asked()).size).toBeLessThanOrEqual(2);
    await make().exchange({ ...round(2, claim(5)), memo } as ExchangeRequest);
    expect(asked()).toHaveLength(4);
    stock.fill(9);
    // Sent before: what the first send gave, and no more.
    const again = await make().exchange({ ...round(1, claim(5)), again: true } as ExchangeRequest);
    expect(again.jobs).toEqual(first.jobs);
    expect(stock).toEqual([9, 9, 9, 9]);
    for (const odd of ["", "1:00", "x", "1:zzzz", `1:${"0".repeat(900)}`]) {
      asked();
      await make().exchange({ ...round(3), memo: odd } as ExchangeRequest);
      expect(asked()).toHaveLength(4);
    }
  });
});
