import type { Driver } from "@quayside/core";
import type { ClaimedJob, ExchangeReply, NewJob, Settlement } from "@quayside/core/engine";
import { type DriverUnderTest, type OpenDriver, snapshot, type TestRunner } from "@quayside/testing";

const QUEUE = "mail";
const LEASE_MS = 30_000;
const DAY_MS = 86_400_000;
/** Longer than any record of an ended job is kept: idempotency records stay for 90 days. */
const LONG_MS = 100 * DAY_MS;
/** Number of jobs per call. */
const CHUNK = 500;

export interface EmptyHouseOptions {
  /** Number of jobs per capability. */
  readonly count: number;
  /** Returns what the store holds in bytes, if it can be measured. */
  readonly bytes?: (under: DriverUnderTest) => Promise<number>;
}

/** A worker without handlers: claims jobs and settles them at once. */
class Hand {
  readonly #driver: Driver;
  readonly #names: readonly string[] | undefined;
  readonly #key = `hand-${Math.random().toString(36).slice(2)}`;
  #number = 0;

  constructor(driver: Driver, names?: readonly string[]) {
    this.#driver = driver;
    this.#names = names;
  }

  exchange(limit: number, settle: readonly Settlement[] = [], leave = false): Promise<ExchangeReply> {
    const queues = [{ queue: QUEUE, ...(this.#names && { names: this.#names }) }];
    return this.#driver.exchange({
      worker: this.#key,
      exchange: ++this.#number,
      liveness: "time",
      leaseMs: LEASE_MS,
      settle,
      running: [],
      claim: { limit, queues },
      ...(leave && { leave }),
    });
  }

  /** Ends all jobs that are due. `outcome` decides how. */
  async work(outcome: (job: ClaimedJob) => Settlement = completed): Promise<void> {
    for (let reply = await this.exchange(CHUNK); reply.jobs.length > 0 || reply.nextWakeMs === 0; )
      reply = await this.exchange(CHUNK, reply.jobs.map(outcome));
  }
}

const completed = ({ token }: ClaimedJob): Settlement => ({ token, outcome: "completed" });

/** The arguments of a capability's use. */
interface House {
  readonly driver: Driver;
  readonly count: number;
  readonly hand: Hand;
  readonly advance: (ms: number) => Promise<void>;
  readonly now: () => number;
  /** Adds `count` jobs that `of` returns. */
  readonly add: (of: (n: number) => Partial<NewJob>) => Promise<readonly string[]>;
}

type Use = (house: House) => Promise<void>;

/** Adds jobs and ends them. */
const run =
  (of: (n: number) => Partial<NewJob>, waitMs = 0): Use =>
  async ({ add, advance, hand }) => {
    await add(of);
    await advance(waitMs);
    await hand.work();
  };

const schedule =
  (bounds: (house: House) => object): Use =>
  async (house) => {
    const { advance, count, driver, hand } = house;
    for (let n = 0; n < count; n++)
      await driver.command({
        type: "schedule",
        queue: QUEUE,
        key: `every-${n}`,
        rule: { kind: "every", everyMs: 60_000, ...bounds(house) },
        job: { queue: QUEUE, name: "email", payload: "0" },
      });
    for (let round = 0; round < 3; round++) {
      await advance(60_000);
      await hand.work();
    }
  };

/** How `count` jobs use each capability, and end. */
const USES: Readonly<Record<string, Use>> = {
  "plain jobs": run(() => ({})),
  "delayed jobs": run(() => ({ delayMs: 1_000 }), 1_000),
  priorities: run((n) => ({ priority: n % 100 })),
  tags: run((n) => ({ tags: [`tag-${n}`] })),
  "own ids": run((n) => ({ id: `id-${n}` })),
  "dedupe keys": run((n) => ({ dedupe: { key: `${n}`, mode: "drop" } })),
  "dedupe keys with a time": run((n) => ({ dedupe: { key: `${n}`, mode: "drop", ttlMs: 3_600_000 } })),
  "throttled keys": run((n) => ({ dedupe: { key: `${n}`, mode: "throttle", ttlMs: 3_600_000 } })),
  "throttled keys before keys that live": async (house) => {
    const { add, driver, hand } = house;
    const live = Array.from({ length: 9 }, (_, n) => ({
      ...{ queue: QUEUE, name: "email", payload: "0", delayMs: DAY_MS },
      dedupe: { key: `z-${n}`, mode: "drop" as const },
    }));
    const ids = await driver.enqueue(live);
    await add((n) => ({ dedupe: { key: `${n}`, mode: "throttle", ttlMs: 3_600_000 } }));
    await hand.work();
    for (const { id } of ids) await driver.command({ type: "cancel", queue: QUEUE, id });
  },
  "debounced keys": run((n) => ({ delayMs: 500, dedupe: { key: `${n}`, mode: "debounce", maxWaitMs: 900 } }), 1_000),
  "replaced keys": async (house) => {
    const replacing = (n: number) => ({ dedupe: { key: `${n}`, mode: "replace" as const } });
    await house.add(replacing);
    const { jobs } = await house.hand.exchange(CHUNK);
    await house.add(replacing);
    await house.hand.exchange(0, jobs.map(completed));
    await house.hand.work();
  },
  "groups of 1": run((n) => ({ group: { key: `${n >> 1}` } })),
  "groups of 5": run((n) => ({ group: { key: `${n >> 3}`, limit: 5 } })),
  "groups of 300": run((n) => ({ group: { key: `${n >> 3}`, limit: 300 } })),
  "delayed groups of 5": run((n) => ({ delayMs: 1_000, group: { key: `${n >> 3}`, limit: 5 } }), 1_000),
  "a rate limit and maxActive": async ({ add, driver, hand }) => {
    const limits = { rateLimit: { max: 1_000_000, perMs: 1_000 }, maxActive: 1_000 };
    await driver.command({ type: "configure", queue: QUEUE, ...limits });
    await add(() => ({}));
    await hand.work();
    await driver.command({ type: "configure", queue: QUEUE, rateLimit: null, maxActive: null });
  },
  flows: async ({ count, driver, hand }) => {
    for (let n = 0; n < count; n += 2)
      await driver.enqueue([
        { queue: QUEUE, name: "parent", payload: "0", flow: { ref: "p" } },
        { queue: QUEUE, name: "child", payload: "0", flow: { parentRef: "p" } },
      ]);
    await hand.work();
  },
  "recurrences with a limit": schedule(() => ({ limit: 2 })),
  "recurrences with an end": schedule(({ now }) => ({ endAt: now() + 120_000 })),
  "names without a handler": async ({ add, count, driver }) => {
    const ids = await add((n) => ({ name: `name-${n % 50}` }));
    const stranger = new Hand(driver, ["other"]);
    await stranger.work();
    for (let n = 0; n < count / 2; n++) await driver.command({ type: "remove", queue: QUEUE, id: ids[n] as string });
    await driver.command({ type: "clear", queue: QUEUE });
    await stranger.exchange(0, [], true);
  },
  expiry: run(() => ({ expiresInMs: 100 }), 200),
  "numbered requests": async ({ count, driver, hand }) => {
    for (let n = 0; n < count; n++)
      await driver.enqueue([{ queue: QUEUE, name: "email", payload: "0" }], {
        sender: `sender-${(n * 7919) % count}`,
        number: 1,
        digest: "x",
      });
    await hand.work();
  },
  "failed jobs that are retried": async ({ add, advance, hand }) => {
    await add(() => ({}));
    const error = { code: "handler_failed", message: "boom" } as const;
    await hand.work(({ token }) => ({ token, outcome: "failed", error, retryMs: 1_000 }));
    await advance(1_000);
    await hand.work(({ token }) => ({ token, outcome: "failed", error }));
  },
  "cancelled jobs": async ({ add, driver }) => {
    for (const id of await add(() => ({}))) await driver.command({ type: "cancel", queue: QUEUE, id });
  },
  "many queues": async ({ count, driver, now }) => {
    for (let n = 0; n < count; n++) {
      const queue = `queue-${n}`;
      const [receipt] = await driver.enqueue([{ queue, name: "email", payload: "0", keep: KEEP_NONE }]);
      await driver.counts(queue);
      await driver.command({ type: "pause", queue });
      await driver.command({ type: "cancel", queue, id: receipt?.id ?? `${now()}` });
      await driver.command({ type: "resume", queue });
    }
  },
};

const KEEP_NONE = { completed: 0, failed: 0, cancelled: 0 };

/**
 * Checks that jobs which have ended and are not kept leave nothing (R42): for each capability, uses it with `count`
 * jobs, ends them, lets 100 days pass and compares the records with those of a new store. Twice: with an idle worker
 * that exchanges when its replies say so, and with a worker that comes after that time.
 */
export function emptyHouse({ describe, expect, it }: TestRunner, open: OpenDriver, options: EmptyHouseOptions): void {
  const { count, bytes } = options;
  for (const worker of ["one idle worker", "no worker, until one comes"])
    describe(`R42: a store with ${worker}`, () => {
      for (const [name, use] of Object.entries(USES))
        it(`holds nothing of ${count} jobs with ${name}`, async () => {
          const under = await open();
          try {
            const { driver, transact } = under;
            if (!transact) return;
            await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
            await driver.enqueue([{ queue: QUEUE, name: "email", payload: "0" }]);
            const hand = new Hand(driver);
            await hand.work();
            const before = await transact(snapshot);
            const size = await bytes?.(under);
            await use({
              driver,
              count,
              hand,
              advance: (ms) => under.advance(ms),
              now: () => under.clock.now(),
              async add(of) {
                const ids: string[] = [];
                for (let from = 0; from < count; from += CHUNK) {
                  const chunk = Array.from({ length: Math.min(CHUNK, count - from) }, (_, n) => ({
                    ...{ queue: QUEUE, name: "email", payload: "0" },
                    ...of(from + n),
                  }));
                  for (const { id } of await driver.enqueue(chunk)) ids.push(id);
                }
                return ids;
              },
            });
            if (worker === "one idle worker") await idle(under, hand);
            else {
              await hand.exchange(0, [], true);
              await under.advance(LONG_MS);
            }
            const last = new Hand(driver);
            let exchanges = 0;
            while ((await last.exchange(1)).nextWakeMs === 0) exchanges++;
            await last.exchange(0, [], true);
            if (worker === "one idle worker") {
              expect(exchanges, "exchanges that still deleted something").toBeLessThanOrEqual(1);
              await hand.exchange(0, [], true);
            }
            const after = await transact(snapshot);
            for (const collection of ["jobs", "leases", "ids", "dedupe", "tallies"] as const)
              expect(after[collection].map(({ key }) => key).slice(0, 9), collection).toEqual([]);
            // At most one record each: the plugins that are in use, and the counted starts of a queue with a rate limit.
            const others = ({ cells }: typeof after) =>
              cells.filter(({ key }) => key[0] !== "plugins" && key[0] !== "rate").slice(0, 9);
            expect(others(after), "cells").toEqual(others(before));
            if (size !== undefined) expect(await bytes?.(under), "bytes").toBeLessThanOrEqual(size + 8_192);
          } finally {
            await under.close();
          }
        });
    });
}

/** Lets 100 days pass. The worker exchanges at the times that its replies give, like an idle one. */
async function idle({ advance, clock }: DriverUnderTest, hand: Hand): Promise<void> {
  const end = clock.now() + LONG_MS;
  while (clock.now() < end) {
    const { nextWakeMs = DAY_MS } = await hand.exchange(1);
    await advance(Math.min(nextWakeMs, end - clock.now()));
  }
}
