import type { Json } from "./json.ts";
import type { Backoff } from "./retry.ts";
import type { StoredError } from "./stored-error.ts";

/** The state of a job. `delayed`: waiting, with a future `availableAt`. `active`: held by a worker's lease. */
export type JobState = "waiting" | "delayed" | "active" | "completed" | "failed" | "cancelled";

/** The states of an ended job. */
export type EndState = "completed" | "failed" | "cancelled";

/**
 * The place of a job: `ready` (may be claimed when due), `blocked` (waits for something other than time) or `finished`
 * (ended and kept).
 */
export type Place = "ready" | "blocked" | "finished";

/** A job's primary key, which is its position in line. See `job-keys.ts` for the parts. */
export type JobKey = readonly [place: Place, lane: string, rank: number, at: number, order: number, tag: string];

/** Number of ended jobs of each state that a queue keeps. 0 deletes a job when it ends. */
export interface Keep {
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
}

/** Effect of an add whose dedupe key is taken: see `DedupeOption`. */
export type DedupeMode = "drop" | "replace" | "debounce" | "throttle";

/** The option `dedupe` of a job in stored form, with durations in ms. */
export interface Dedupe {
  readonly key: string;
  readonly mode: DedupeMode;
  /** Time from the add for which the key stays taken. Required for `throttle`. */
  readonly ttlMs?: number | undefined;
  /** For `debounce`: longest delay from the first add, in ms. */
  readonly maxWaitMs?: number | undefined;
}

/** The group of a job: at most `limit` jobs with the same key run at once, over all workers. */
export interface Group {
  readonly key: string;
  /** Maximum number of the group's running jobs. The last given limit applies. Default: 1. */
  readonly limit?: number | undefined;
}

export interface Parent {
  readonly queue: string;
  readonly id: string;
  readonly onFailure: ChildFailure;
}

/**
 * Effect on the parent when a child failed, was cancelled or was removed: the parent fails, or the child is ignored.
 */
export type ChildFailure = "fail" | "ignore";

/** A condition that a job needs. If the job fails while the condition is not met, no attempt is counted. */
export type Requirement = "network";

/** Options that are stored with a job. An absent option has its default. */
export interface StoredOptions {
  readonly maxAttempts?: number | undefined;
  readonly backoff?: Backoff | undefined;
  readonly timeoutMs?: number | undefined;
  readonly dedupe?: Dedupe | undefined;
  readonly group?: Group | undefined;
  /** Number of thrown errors (excluding timeouts) after which the job fails for good. */
  readonly maxExceptions?: number | undefined;
  /** Number of interruptions after which the job fails for good. */
  readonly maxInterruptions?: number | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly keep?: Partial<Keep> | undefined;
  readonly requires?: Requirement | undefined;
  /** W3C trace context (`traceparent`) of the code that added the job. */
  readonly trace?: string | undefined;
  /** Set if payload, result, progress, logs and error are encrypted: see `aesGcm`. */
  readonly sealed?: true | undefined;
}

/**
 * A job as stored. The record does not change while a lease lists it: progress and cancel requests of a running job are
 * in the lease.
 */
export interface StoredJob extends StoredOptions {
  readonly key: JobKey;
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  /** Number of successive releases or retries with a short delay: see `DEFAULTS.freeRepeats`. */
  readonly repeats?: number | undefined;
  /** The payload as JSON text. */
  readonly payload: string;
  readonly priority: number;
  readonly addedAt: number;
  readonly availableAt: number;
  /** Time after which the job is no longer started, in ms since epoch. */
  readonly expiresAt?: number | undefined;
  /** Number of ended attempts that count. */
  readonly attempts?: number | undefined;
  readonly interruptions?: number | undefined;
  /** Number of attempts that ended with a thrown error. */
  readonly exceptions?: number | undefined;
  /** The parent that waits for this job. */
  readonly parent?: Parent | undefined;
  /** Further parents that wait for this job, added later than `parent`. */
  readonly otherParents?: readonly Parent[] | undefined;
  /** Set if the job waits, or has waited, for children. */
  readonly hasChildren?: true | undefined;
  /** Key of the recurrence that added this job. */
  readonly recurrence?: string | undefined;
  /** Time at which the recurrence planned this job. */
  readonly scheduledFor?: number | undefined;
  readonly error?: StoredError | undefined;
  readonly logs?: readonly string[] | undefined;
  /** The result as JSON text. */
  readonly result?: string | undefined;
  readonly progress?: Json | undefined;
  readonly startedAt?: number | undefined;
  readonly finishedAt?: number | undefined;
}

/** Marks the job name of an id, for the compiler. No value has this key. */
declare const NAME: unique symbol;

/**
 * The id of a job, with the job's name in its type: `addJob("resize", …)` resolves with a `JobId<"resize">`, from which
 * `get` and `waitFor` infer payload and result. At run time it is a string, and any string may be passed for it.
 */
export type JobId<Name extends string = string> = string & { readonly [NAME]?: Name | undefined };

/** A job as returned by `get`, `list`, events and `ctx.job`. Times are in ms since epoch. */
export interface JobRecord<Payload = unknown, Name extends string = string, Result = unknown> {
  readonly id: JobId<Name>;
  readonly queue: string;
  readonly name: Name;
  readonly payload: Payload;
  readonly state: JobState;
  /** Priority: −100 to 100; higher runs first. */
  readonly priority: number;
  readonly addedAt: number;
  /** Earliest time at which the job may be claimed. */
  readonly availableAt: number;
  readonly expiresAt?: number | undefined;
  /** Number of attempts that count, including the running one. */
  readonly attempts: number;
  readonly maxAttempts: number;
  /** Number of attempts interrupted by a crash, a closed tab or an eviction. They do not count as attempts. */
  readonly interruptions: number;
  readonly timeoutMs?: number | undefined;
  readonly backoff?: Backoff | undefined;
  readonly dedupe?: Dedupe | undefined;
  readonly group?: Group | undefined;
  readonly exceptions: number;
  readonly maxExceptions?: number | undefined;
  readonly maxInterruptions?: number | undefined;
  readonly requires?: Requirement | undefined;
  readonly trace?: string | undefined;
  /** Set if the job is encrypted. */
  readonly sealed?: true | undefined;
  readonly tags: readonly string[];
  /** The last 100 lines that its handlers logged. */
  readonly logs: readonly string[];
  /** The parent that waits for this job. */
  readonly parent?: Parent | undefined;
  readonly hasChildren?: true | undefined;
  readonly recurrence?: string | undefined;
  /** Time at which the recurrence planned this job; retries do not change it. */
  readonly scheduledFor?: number | undefined;
  /**
   * Why the job waits although it may be due: `name` (no worker handles its name), `group` (its group is full),
   * `successor` (the job that it replaces still runs), `children` (its children have not ended).
   */
  readonly blockedBy?: string | undefined;
  readonly progress?: Json | undefined;
  readonly result?: Result | undefined;
  /** Error of the last failed attempt, also if the job will be retried. */
  readonly error?: StoredError | undefined;
  readonly startedAt?: number | undefined;
  readonly finishedAt?: number | undefined;
}
