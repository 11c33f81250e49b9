import type { DedupeMode, JobKey, Keep, StoredJob } from "../job/job-record.ts";
import type { Json } from "../job/json.ts";
import type { RateLimit } from "./verbs.ts";

/**
 * The storage port. A store keeps six ordered collections of records and runs *programs* on them. It contains no rule
 * of the queue: the author of a store implements four operations and atomic programs, and runs the conformance suite.
 */
export interface Store {
  /**
   * Runs the program that `start` creates, **atomically and serially with every other program on these records**, in
   * any process or tab: all of its writes or none, and no partial writes of another program are visible. Resolves when
   * the writes are durable (in IndexedDB on the transaction's `complete` event); rejects with all of them rolled back.
   *
   * `start` is called again if the transaction must be repeated (a lost connection), so a program keeps all of its
   * state inside itself. A program that throws aborts its transaction; the promise rejects with its error.
   *
   * A store with limited space reserves some that programs of kind `add` cannot use, so that those of kind `change`
   * still succeed (R33).
   */
  transact<T>(start: () => Program<T>, kind?: ProgramKind): Promise<T>;

  /**
   * Announces the changes of a committed program to other contexts that share these records. Best effort; never throws.
   */
  announce(changes: readonly Change[]): void;

  /** Calls the listener with changes that another context has announced. Returns a function that removes it. */
  watch(listener: (changes: readonly Change[]) => void): () => void;

  /**
   * Closes the store after the running programs have finished. Further calls reject with `closed`. May be called again.
   */
  close(): Promise<void>;
}

/**
 * The kind of a program. `read` writes only records that can be computed again, so the store may skip the writes. `add`
 * (the default) may add jobs. `change` changes stored jobs, and must succeed even on a full disk.
 */
export type ProgramKind = "read" | "add" | "change";

/** All kinds of a {@link Change}. Reported together when changes may have been missed. */
export const CHANGE_KINDS = ["ready", "active", "progress", "ended", "cancel", "settings"] as const;

/**
 * A change by a program, one per queue and kind. `ready`: a job may have become claimable, or will be later than
 * before. `active`: jobs were claimed. `progress`: running jobs reported progress or log lines. `ended`: jobs ended or
 * were deleted. `cancel`: a running job was asked to stop. `settings`: the queue was paused, resumed or configured.
 */
export interface Change {
  readonly queue: string;
  readonly kind: (typeof CHANGE_KINDS)[number];
  /** The worker whose exchange caused the change. */
  readonly by?: string;
  /**
   * For kind `ended`: a number for each ended job, computed from its id. Absent: any job of the queue may have ended.
   */
  readonly ended?: readonly number[];
  /**
   * For kind `ready`: the number of jobs that were added without a delay, if the change is nothing else. Absent: every
   * idle worker claims. Other contexts get changes without it.
   */
  readonly jobs?: number | undefined;
}

/** A key: a tuple, compared part by part; a prefix of another key is less. Numbers are safe integers. */
export type Key = readonly (string | number)[];

/** The entry of a running job in its worker's lease. */
export interface Held {
  readonly key: JobKey;
  readonly id: string;
  /** Identifies the attempt: a settlement without this token changes nothing. Unique within the worker. */
  readonly token: string;
  readonly startedAt: number;
  /** Set if the job has no other records that must be deleted at its end: see `isPlain`. */
  readonly plain?: true;
  /** Set if the job is isolated: it was interrupted before, so its worker runs no other job with it. */
  readonly alone?: true;
  /** Key of the job's group. */
  readonly group?: string;
  readonly logs?: readonly string[];
  readonly progress?: Json;
  /** How the job is to end, if that was requested: it becomes `cancelled`, or it is deleted (`remove`). */
  readonly cancel?: "cancel" | "remove";
}

/** All running and prefetched jobs of one worker, in one record. Empty for an idle worker. */
export interface LeaseRecord {
  readonly key: readonly [worker: string];
  readonly name?: string;
  /**
   * How the worker's death is detected: `lock` (it holds a Web Lock while alive), `process` (it dies with the process
   * that owns the store), `time` (only by silence).
   */
  readonly liveness: Liveness;
  readonly leaseMs: number;
  readonly expiresAt: number;
  readonly renewedAt: number;
  /**
   * Number of the worker's last exchange, and the tokens that were lost in it, so that a repeat gets the same reply.
   */
  readonly exchange: number;
  readonly lost?: readonly string[];
  /** Jobs that the last exchange recovered from dead workers: `[queue, id]` as JSON text. */
  readonly interrupted?: readonly string[];
  readonly held: readonly Held[];
}

/** How the death of a worker is detected: see `LeaseRecord.liveness`. */
export type Liveness = "lock" | "process" | "time";

/** An entry of `ids`: the key of a job whose id does not contain the key. */
export interface IdRecord {
  readonly key: readonly [queue: string, id: string];
  readonly at: JobKey;
}

/** The record of a taken dedupe key: the job that holds it, and until when. */
export interface DedupeRecord {
  readonly key: readonly [queue: string, dedupeKey: string];
  readonly holder: string;
  /** Id of a job that waits for the running holder to end, and then holds the key. */
  readonly successor?: string;
  readonly mode: DedupeMode;
  /** Time at which the holder was added; for `debounce`, at which the first holder was added. */
  readonly since: number;
  /** Time until which the key stays taken, even if the holder has ended. */
  readonly until?: number;
  /** Set if the holder has ended; the key stays taken until `until`. */
  readonly ended?: true;
}

/** The stored settings of a queue. */
export interface QueueSettings {
  readonly paused?: boolean;
  readonly keep?: Partial<Keep>;
  readonly rateLimit?: RateLimit;
  readonly maxActive?: number;
  readonly maxWaiting?: number;
  /** Job names without a handler, whose jobs are blocked. */
  readonly blockedNames?: readonly string[];
}

/** A small named value of a plugin. `kind` declares its type. */
interface CellRecord {
  readonly key: readonly [kind: string, name: string];
  readonly value: unknown;
}

/**
 * Numbers of a queue's jobs by place; a place is absent if its jobs were not counted yet. The record can be computed
 * again by a scan, so a store with a single owner may keep this collection in memory.
 */
export interface TallyRecord {
  readonly key: readonly [queue: string];
  readonly ready?: number;
  readonly blocked?: number;
  readonly completed?: number;
  readonly failed?: number;
  readonly cancelled?: number;
}

/**
 * The collections and their record types. Stores create their tables or object stores from the names, or from
 * `COLLECTIONS`.
 */
export interface Records {
  jobs: StoredJob;
  leases: LeaseRecord;
  ids: IdRecord;
  dedupe: DedupeRecord;
  cells: CellRecord;
  tallies: TallyRecord;
}

/** The name of a collection of a store. */
export type Collection = keyof Records;

/** All collections, in the order in which a store creates them. */
export const COLLECTION_NAMES: readonly Collection[] = ["jobs", "leases", "ids", "dedupe", "cells", "tallies"];

/**
 * The key of each collection: names and types of its parts. `derived`: the records can be computed again, so a store
 * with a single owner may keep the collection in memory.
 */
export const COLLECTIONS: {
  readonly [C in Collection]: { readonly key: readonly KeyPart[]; readonly derived?: true };
} = {
  jobs: {
    key: [
      { name: "place", type: "text" },
      { name: "lane", type: "text" },
      { name: "rank", type: "integer" },
      { name: "at", type: "integer" },
      { name: "order", type: "integer" },
      { name: "tag", type: "text" },
    ],
  },
  leases: { key: [{ name: "worker", type: "text" }] },
  ids: {
    key: [
      { name: "queue", type: "text" },
      { name: "id", type: "text" },
    ],
  },
  dedupe: {
    key: [
      { name: "queue", type: "text" },
      { name: "dedupeKey", type: "text" },
    ],
  },
  cells: {
    key: [
      { name: "kind", type: "text" },
      { name: "name", type: "text" },
    ],
  },
  tallies: { key: [{ name: "queue", type: "text" }], derived: true },
};

/** One part of a key: its name, for a column of a table, and its type. */
export interface KeyPart {
  readonly name: string;
  readonly type: "text" | "integer";
}

/** One operation of a program. Every operation is a batch, so that a store can pipeline it. */
export type Operation = {
  [C in Collection]:
    | { readonly op: "get"; readonly collection: C; readonly keys: readonly Key[] }
    | ScanOperation<C>
    | {
        readonly op: "put";
        readonly collection: C;
        readonly records: readonly Records[C][];
        /**
         * Whether the put may be delayed: after a crash, the previous version of the records would serve as well. A
         * store with a single owner may keep such records in memory until they are next put or deleted.
         */
        readonly deferrable?: boolean;
      }
    | { readonly op: "delete"; readonly collection: C; readonly keys: readonly Key[] }
    | { readonly op: "deleteRange"; readonly collection: C; readonly from: Key; readonly to: Key };
}[Collection];

export interface ScanOperation<C extends Collection> {
  readonly op: "scan";
  readonly collection: C;
  /** The first key of the range (inclusive). May be a prefix of keys. */
  readonly from: Key;
  /** The end of the range (exclusive). May be a prefix, which excludes every key that begins with it. */
  readonly to: Key;
  readonly limit: number;
  readonly reverse?: boolean;
  /** Whether the answer has keys in place of records. */
  readonly keysOnly?: boolean;
}

/**
 * The answer of an operation. `get`: an array as long as `keys`, with undefined for missing records. `scan`: an array
 * of records (or keys) in key order. Writes: undefined. Programs must not change returned records; a store never
 * returns the object that it was given.
 */
export type Answer = unknown;

/**
 * A step that a program yields: one operation, or several that are independent of each other. Several operations run in
 * order and are answered together, in an array; a store may send them in one request. A reverse scan must be a step of
 * its own.
 */
export type Step = Operation | readonly (Operation & { readonly reverse?: false })[];

/**
 * The program of a transaction: yields steps, receives their answers, returns its result. Use the helpers of
 * `store-operations.ts`.
 */
export type Program<T> = Generator<Step, T, Answer>;
