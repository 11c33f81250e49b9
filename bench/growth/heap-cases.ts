import { memoryDriver, Queue } from "@quayside/core";
import { MemoryStore, type NewJob, type StoreDriver } from "@quayside/core/engine";
import { createManualClock, type ManualClock } from "@quayside/testing";

type Jobs = Record<string, unknown>;

/** A queue on an empty store that keeps no ended jobs. */
export interface Place {
  readonly clock: ManualClock;
  readonly store: MemoryStore;
  readonly driver: StoreDriver;
  readonly queue: Queue<Jobs>;
}

/** Adds `SIZE` jobs, or opens as many drivers or waiters, and ends them all. `first`: a number that no earlier one had. */
export type Round = (place: Place, first: number) => Promise<unknown>;

/** Number of jobs per round. */
export const SIZE = 500;

export async function openPlace(): Promise<Place> {
  const clock = createManualClock();
  const store = new MemoryStore();
  const driver = memoryDriver({ store, clock });
  const queue = new Queue<Jobs>("mail", driver, { clock });
  queue.on("job:email", () => "done");
  queue.on("job:fail", (_, ctx) => {
    if (ctx.attempt === 1) throw new Error("The first attempt fails.");
  });
  queue.on("job:report", (_, ctx) => {
    ctx.progress(1);
    ctx.log("done");
  });
  await queue.configure({ keep: { completed: 0, failed: 0, cancelled: 0 } });
  return { clock, store, driver, queue };
}

type Options = Partial<Parameters<Queue<Jobs>["addJobs"]>[0][number]>;

const numbers = (first: number): number[] => Array.from({ length: SIZE }, (_, n) => first + n);

/** Adds jobs, lets time pass, and works until no job is due. */
const worked =
  (options: (n: number) => Options = () => ({}), name = "email", passMs = 0): Round =>
  async ({ queue, clock }, first) => {
    await queue.addJobs(numbers(first).map((n) => ({ name, payload: n, ...options(n) })));
    if (passMs > 0 && name === "fail") await queue.drain({ concurrency: SIZE });
    if (passMs > 0) await clock.advance(passMs);
    await queue.drain({ concurrency: SIZE });
  };

/** Each capability, and what else must leave nothing. */
export const HEAP_CASES: Readonly<Record<string, Round>> = {
  plain: worked(),
  "own ids": worked((n) => ({ id: `own ${n}` })),
  delayed: worked(() => ({ delay: 1_000 }), "email", 1_000),
  priorities: worked((n) => ({ priority: n % 100 })),
  retries: worked(() => ({ backoff: 1_000 }), "fail", 5_000),
  "progress and logs": worked(undefined, "report"),
  expiry: worked(() => ({ delay: 5, expiresIn: 1 }), "email", 10),
  dedupe: worked((n) => ({ dedupe: { key: `key ${n}` } })),
  throttle: worked((n) => ({ dedupe: { key: `key ${n}`, mode: "throttle", ttl: 1_000 } }), "email", 1_000),
  groups: worked((n) => ({ group: { key: `tenant ${n}`, limit: 2 } })),
  flows: async ({ queue }, first) => {
    for (let n = first; n < first + SIZE; n += 50) {
      const children = Array.from({ length: 49 }, (_, child) => ({ name: "email", payload: child }));
      await queue.addFlow({ name: "email", payload: n, children });
    }
    await queue.drain({ concurrency: SIZE });
  },
  recurrences: async ({ queue, clock }, first) => {
    for (const n of numbers(first))
      await queue.schedule(`key ${n}`, { every: 1_000, limit: 1, name: "email", payload: n });
    await clock.advance(1_000);
    await queue.drain({ concurrency: SIZE });
    for (const n of numbers(first)) await queue.unschedule(`key ${n}`);
  },
  "numbered requests": async ({ driver, queue, clock }, first) => {
    for (const n of numbers(first)) {
      const job: NewJob = { queue: "mail", name: "email", payload: "0" };
      await driver.enqueue([job], { sender: `sender ${n}`, number: 1, digest: "0", ttlMs: 1_000 });
    }
    // Lapsed records are deleted a minute later: see `lapsing`.
    await clock.advance(61_000);
    await queue.drain({ concurrency: SIZE });
  },
  cancelled: async ({ queue }, first) => {
    for (const id of await queue.addJobs(numbers(first).map((n) => ({ name: "email", payload: n }))))
      await queue.cancel(id);
  },
  "rate limit": async (place, first) => {
    if (first === 0) await place.queue.configure({ rateLimit: { max: SIZE, per: 1_000 } });
    await worked()(place, first);
    await place.clock.advance(2_000);
  },
  waiters: async ({ queue }, first) => {
    const ids = await queue.addJobs(
      numbers(first).map((n) => ({ name: "email", payload: n, keep: { completed: SIZE } })),
    );
    const ends = ids.map((id) => queue.waitFor(id));
    await queue.drain({ concurrency: SIZE });
    await Promise.all(ends);
  },
  drivers: async ({ store, clock }, first) => {
    for (const n of numbers(first)) {
      const driver = memoryDriver({ store, clock });
      const queue = new Queue<Jobs>("mail", driver, { clock });
      queue.on("job:email", () => "done");
      await queue.addJob("email", n);
      await queue.drain();
      await driver.close();
    }
  },
};
