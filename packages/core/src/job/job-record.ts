import type { Json } from "./json.ts";
import type { Backoff } from "./retry.ts";
import type { StoredError } from "./stored-error.ts";

/** `delayed` is `waiting` with a future `availableAt`; `active` is a job that a lease lists. */
export type JobState = "waiting" | "delayed" | "active" | "completed" | "failed" | "cancelled";

/** The states in which a job has ended. */
export type EndState = "completed" | "failed" | "cancelled";

/** The place of a job: `ready` to be claimed in its turn, `blocked` by something other than time, or `finished` and kept. */
export type Place = "ready" | "blocked" | "finished";

/** A job's primary key is its place in line: see `job-keys.ts` for how each part is made. */
export type JobKey = readonly [place: Place, lane: string, rank: number, at: number, order: number, tag: string];

/** How many ended jobs of each state a queue keeps for inspection; 0 removes a job as it ends. */
export interface Keep {
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
}

/**
 * The effect of an add whose dedupe key is taken: `drop` keeps the job that has the key, `replace` replaces it while it waits,
 * `debounce` also starts its delay again, `throttle` keeps the key for its `ttl`.
 */
export type DedupeMode = "drop" | "replace" | "debounce" | "throttle";

/** The dedupe option of a job, as it is stored: durations in ms. */
export interface Dedupe {
  readonly key: string;
  readonly mode: DedupeMode;
  /** How long the key stays taken, counted from the add. `throttle` needs one. */
  readonly ttlMs?: number;
  /** `debounce`: however often it is added again, it waits no longer than this from the first add. */
  readonly maxWaitMs?: number;
}

/** Jobs that share a key; at most `limit` of them run at once, in all workers together. */
export interface Group {
  readonly key: string;
  /** The last one given is in force. Default 1. */
  readonly limit?: number;
}

export interface Parent {
  readonly queue: string;
  readonly id: string;
  readonly onFailure: ChildFailure;
}

/** The effect on a parent of a child that failed, was cancelled or was removed. */
export type ChildFailure = "fail" | "ignore";

/** A condition that a job needs: a failure without it counts against the condition, not against the job. */
export type Requirement = "network";

/** The options of a job that are stored with it. Absent means the default. */
export interface StoredOptions {
  readonly maxAttempts?: number;
  readonly backoff?: Backoff;
  readonly timeoutMs?: number;
  readonly dedupe?: Dedupe;
  readonly group?: Group;
  /** Errors thrown (timeouts are none) after which it fails for good, whatever attempts are left. */
  readonly maxExceptions?: number;
  /** Interruptions after which it fails for good. */
  readonly maxInterruptions?: number;
  readonly tags?: readonly string[];
  readonly keep?: Partial<Keep>;
  readonly requires?: Requirement;
  /** W3C trace context (`traceparent`) of who added it. */
  readonly trace?: string;
  /** Its payload, result, progress, logs and error are encrypted: see `aesGcm`. */
  readonly sealed?: true;
}

/**
 * A job as a store keeps it. Never changed while a lease lists it: progress and cancel requests of a running job stand
 * in the lease.
 */
export interface StoredJob extends StoredOptions {
  readonly key: JobKey;
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  /** How often in a row it was released or retried almost at once: see `DEFAULTS.freeRepeats`. */
  readonly repeats?: number;
  /** JSON text. */
  readonly payload: string;
  readonly priority: number;
  readonly addedAt: number;
  readonly availableAt: number;
  /** Instant after which it is not worth running any more. */
  readonly expiresAt?: number;
  /** Counted attempts that have ended. */
  readonly attempts?: number;
  readonly interruptions?: number;
  /** Attempts that ended by an error thrown. */
  readonly exceptions?: number;
  /** The parent that waits for it. */
  readonly parent?: Parent;
  /** Parents added later that wait for it too. */
  readonly otherParents?: readonly Parent[];
  /** It waits, or has waited, for children. */
  readonly hasChildren?: true;
  /** The recurrence whose occurrence it is. */
  readonly recurrence?: string;
  readonly error?: StoredError;
  readonly logs?: readonly string[];
  /** JSON text. */
  readonly result?: string;
  readonly progress?: Json;
  readonly startedAt?: number;
  readonly finishedAt?: number;
}

/** A job as people see it: what `get`, `list`, events and `ctx.job` give. Instants are ms since epoch. */
export interface JobRecord<Payload = unknown> {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly payload: Payload;
  readonly state: JobState;
  /** −100 to 100, higher first. */
  readonly priority: number;
  readonly addedAt: number;
  /** The earliest instant at which it may be claimed. */
  readonly availableAt: number;
  readonly expiresAt?: number;
  /** Attempts that have counted, the running one included. */
  readonly attempts: number;
  readonly maxAttempts: number;
  /** Attempts cut off by a crash, a closed tab or an eviction; they do not count as attempts. */
  readonly interruptions: number;
  readonly timeoutMs?: number;
  readonly backoff?: Backoff;
  readonly dedupe?: Dedupe;
  readonly group?: Group;
  readonly exceptions: number;
  readonly maxExceptions?: number;
  readonly maxInterruptions?: number;
  readonly requires?: Requirement;
  readonly trace?: string;
  /** It was added with `encrypted`. */
  readonly sealed?: true;
  readonly tags: readonly string[];
  /** Lines that its handlers logged, the last 100. */
  readonly logs: readonly string[];
  /** The parent that waits for it. */
  readonly parent?: Parent;
  readonly hasChildren?: true;
  readonly recurrence?: string;
  /**
   * Why it waits although it may be due: `name` no worker handles its name, `group` its group is full, `successor` the job
   * it replaces still runs, `children` its children have not ended.
   */
  readonly blockedBy?: string;
  readonly progress?: Json;
  readonly result?: Json;
  /** The last failure, also of a job that will be tried again. */
  readonly error?: StoredError;
  readonly startedAt?: number;
  readonly finishedAt?: number;
}
