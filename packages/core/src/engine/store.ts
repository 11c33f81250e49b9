import type { DedupeMode, JobKey, Keep, StoredJob } from "../job/job-record.ts";
import type { Json } from "../job/json.ts";
import type { RateLimit } from "./verbs.ts";

/**
 * The storage port. A store keeps six ordered collections of records and runs *programs* on them. It has no queue
 * rule: the author of a new store implements four operations, several of which may be asked for at once, and one
 * promise, and calls the conformance suite.
 */
export interface Store {
  /**
   * Runs the program that `start` makes, **atomically and serially with every other program on these records**, in
   * whatever process or tab: all of its writes or none, and it sees no half of another's. Resolves after the writes are
   * durable (in IndexedDB the transaction's `complete`, never a request's success); rejects with all of them undone.
   *
   * `start` is called again when the transaction has to be repeated (a lost connection), so a program keeps all of its
   * state inside itself. A program that throws aborts its transaction and rejects with what it threw.
   *
   * A store whose space can run out keeps some of it back from programs of kind `add`, so that those of kind `change`
   * still have room (R33).
   */
  transact<T>(start: () => Program<T>, kind?: ProgramKind): Promise<T>;

  /** Tells other contexts that share these records what a committed program changed. Best effort, never throws. */
  announce(changes: readonly Change[]): void;

  /** Calls back with what another context announced. Returns the function that stops it. */
  watch(listener: (changes: readonly Change[]) => void): () => void;

  /** Lets go of the records; running programs finish first. Further calls reject with `closed`. Idempotent. */
  close(): Promise<void>;
}

/**
 * The kind of a program. `read` writes derived records only, which the store may leave out. `add` (the default) may add jobs.
 * `change` acts on stored jobs, and must succeed on a full disk.
 */
export type ProgramKind = "read" | "add" | "change";

/** The kinds of {@link Change}: all of them, for who may have missed some. */
export const CHANGE_KINDS = ["ready", "active", "progress", "ended", "cancel", "settings"] as const;

/**
 * A change by a program, one entry per queue and kind: `ready` a job may be claimable that was not (or will be, later
 * than before), `active` jobs were claimed, `progress` running jobs reported progress or lines of their logs, `ended`
 * jobs left the line or were kept, `cancel` a running job is asked to stop, `settings` the queue was paused, resumed or
 * configured.
 */
export interface Change {
  readonly queue: string;
  readonly kind: (typeof CHANGE_KINDS)[number];
  /** The worker whose exchange it was, where it was one. */
  readonly by?: string;
  /** Of kind `ended`: a number for each job that ended, made of its id. Absent: any job of the queue may have ended. */
  readonly ended?: readonly number[];
}

/** Keys are tuples, compared part by part; a tuple that is a prefix of another comes first. Numbers are safe integers. */
export type Key = readonly (string | number)[];

/** A running job, as its worker's lease lists it. */
export interface Held {
  readonly key: JobKey;
  readonly id: string;
  /** Fences the attempt: a settlement that does not name it changes nothing. Unique within the worker. */
  readonly token: string;
  readonly startedAt: number;
  /** Nothing but the job itself has to go when it ends: see `isPlain`. */
  readonly plain?: true;
  /** Interrupted before, so it runs by itself. */
  readonly alone?: true;
  /** Key of its group. */
  readonly group?: string;
  readonly logs?: readonly string[];
  readonly progress?: Json;
  /** The job's end was requested: it becomes `cancelled`, or leaves without a trace (`remove`). */
  readonly cancel?: "cancel" | "remove";
}

/** Everything that one worker holds, in one record. An idle worker's is empty. */
export interface LeaseRecord {
  readonly key: readonly [worker: string];
  readonly name?: string;
  /**
   * How its death shows: `lock` a Web Lock it holds while alive, `process` it lives and dies with the process that owns
   * the store, `time` only by silence.
   */
  readonly liveness: Liveness;
  readonly leaseMs: number;
  readonly expiresAt: number;
  readonly renewedAt: number;
  /** Number of its last exchange, and which tokens that one found lost, so that a repeat answers the same. */
  readonly exchange: number;
  readonly lost?: readonly string[];
  /** Jobs that exchange took back from workers that are gone: `[queue, id]` as JSON text. */
  readonly interrupted?: readonly string[];
  readonly held: readonly Held[];
}

/** How the death of a worker is detected: see `LeaseRecord.liveness`. */
export type Liveness = "lock" | "process" | "time";

/** Where a job is whose id does not spell its key. */
export interface IdRecord {
  readonly key: readonly [queue: string, id: string];
  readonly at: JobKey;
}

/** The record of a dedupe key that is taken: its holder, and for how long. */
export interface DedupeRecord {
  readonly key: readonly [queue: string, dedupeKey: string];
  readonly holder: string;
  /** Waits for the running holder to end, then holds the key. */
  readonly successor?: string;
  readonly mode: DedupeMode;
  /** When its holder was added; of a `debounce`, the first holder. */
  readonly since: number;
  /** The key stays taken until then, whatever the holder does. */
  readonly until?: number;
  /** The holder has ended; `until` alone keeps the key. */
  readonly ended?: true;
}

/** Settings of a queue, as they are stored. */
export interface QueueSettings {
  readonly paused?: boolean;
  readonly keep?: Partial<Keep>;
  readonly rateLimit?: RateLimit;
  readonly maxActive?: number;
  /** Names that stepped aside because the worker that met them did not know them. */
  readonly blockedNames?: readonly string[];
}

/** A small named value. The declaration of its kind gives its type: see `kind`. */
interface CellRecord {
  readonly key: readonly [kind: string, name: string];
  readonly value: unknown;
}

/**
 * How many jobs are in each place of a queue; a place that was not counted yet is absent. Derivable by a scan, so a
 * store that only one process uses may keep this collection in memory and lose it on restart.
 */
export interface TallyRecord {
  readonly key: readonly [queue: string];
  readonly ready?: number;
  readonly blocked?: number;
  readonly completed?: number;
  readonly failed?: number;
  readonly cancelled?: number;
}

/** The collections and what they hold. Each store builds its tables or object stores from their names, or from `COLLECTIONS`. */
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

/** `key`: the parts of the key, in order, with their types. `derived`: may be kept in memory by a sole owner. */
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

/** One step of a program. Every operation is a batch, so that a store can pipeline it. */
export type Operation = {
  [C in Collection]:
    | { readonly op: "get"; readonly collection: C; readonly keys: readonly Key[] }
    | ScanOperation<C>
    | {
        readonly op: "put";
        readonly collection: C;
        readonly records: readonly Records[C][];
        /**
         * Of records that are there: after a crash, those before these would do as well. So a store that no other process
         * uses may keep these in memory, until they are next put or deleted.
         */
        readonly deferrable?: boolean;
      }
    | { readonly op: "delete"; readonly collection: C; readonly keys: readonly Key[] }
    | { readonly op: "deleteRange"; readonly collection: C; readonly from: Key; readonly to: Key };
}[Collection];

export interface ScanOperation<C extends Collection> {
  readonly op: "scan";
  readonly collection: C;
  /** Inclusive; may be a prefix. */
  readonly from: Key;
  /** Exclusive; may be a prefix, which then excludes every key that begins with it. */
  readonly to: Key;
  readonly limit: number;
  readonly reverse?: boolean;
  /** Answer keys instead of records. */
  readonly keysOnly?: boolean;
}

/**
 * The answer of the store to an operation: `get` an array as long as `keys`, with undefined where nothing is; `scan`
 * an array of records (or keys) in key order; the writing ones undefined. Records that come back are the program's to
 * read, not to change, and a store never hands out the object that it was given.
 */
export type Answer = unknown;

/**
 * A step that a program yields: one operation, or several that do not need each other's answers. Those are performed in order
 * and answered together, in an array: a store that can asks for all of them in one trip. A scan in reverse goes alone:
 * some engines walk it, step by step.
 */
export type Step = Operation | readonly (Operation & { readonly reverse?: false })[];

/** A transaction program: yields steps, receives their answers, returns its result. Write it with the helpers of `store-operations.ts`. */
export type Program<T> = Generator<Step, T, Answer>;
