import {
  type Collection,
  type IdRecord,
  type JobKey,
  type LeaseRecord,
  type Program,
  put,
  type Range,
  type Records,
  readyLane,
  type Store,
  type StoredJob,
  scan,
  spellId,
} from "@quayside/core/engine";

/**
 * Fields of a job of the store suite. All records are valid, because a store may not keep a field that the key
 * contains.
 */

export interface JobPart {
  readonly queue?: string | undefined;
  readonly priority?: number | undefined;
  readonly at?: number | undefined;
  readonly order?: number | undefined;
  readonly tag?: string | undefined;
  readonly payload?: string | undefined;
}

export function job({
  queue = "mail",
  priority = 0,
  at = 1_000,
  order = 1,
  tag = "aaaaaaaa",
  payload = "{}",
}: JobPart = {}): StoredJob {
  // `0 - priority`, because JSON does not keep −0.
  const key: JobKey = ["ready", readyLane(queue), 0 - priority, at, order, tag];
  return { key, id: spellId(key), queue, name: "email", payload, priority, addedAt: 500, availableAt: at };
}

/** Creates jobs of one queue, in the order of their numbers. */
export const jobs = (count: number, part: JobPart = {}): StoredJob[] =>
  Array.from({ length: count }, (_, order) => job({ ...part, order, payload: JSON.stringify(order) }));

export function lease(worker: string, exchange = 0): LeaseRecord {
  return {
    key: [worker],
    liveness: "time",
    leaseMs: 30_000,
    expiresAt: 31_000,
    renewedAt: 1_000,
    exchange,
    held: [{ key: job().key, id: job().id, token: "1", startedAt: 1_000 }],
  };
}

export const idRecord = (queue: string, id: string): IdRecord => ({ key: [queue, id], at: job().key });

/** Creates one record of every collection. */
export const oneOfEach = (tag: string): { readonly [C in Collection]: Records[C] } => ({
  jobs: job({ tag: tag.padEnd(8, "0").slice(0, 8) }),
  leases: lease(tag),
  ids: idRecord("mail", tag),
  dedupe: { key: ["mail", tag], holder: "1", mode: "throttle", since: 1, until: 2_000 },
  cells: { key: ["queue", tag], value: { paused: true, blockedNames: ["email"] } },
  tallies: { key: [tag], ready: 1, failed: 2 },
});

export const write = <C extends Collection>(
  store: Store,
  collection: C,
  records: readonly Records[C][],
): Promise<void> => store.transact(() => put(collection, records));

/** The range of all keys of a collection that the cases use. */
export const ALL: Range = { from: [""], to: ["\u{10ffff}"] };

export const readAll = <C extends Collection>(store: Store, collection: C): Promise<readonly Records[C][]> =>
  store.transact(() => scan(collection, ALL, 100_000));

/** Returns a program without operations that returns `value`. */
// biome-ignore lint/correctness/useYield: a program that ends without an operation is what it is for
export function* answer<T>(value: T): Program<T> {
  return value;
}
