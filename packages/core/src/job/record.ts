import type { StoredError } from "./errors.ts";
import type { Json } from "./json.ts";
import type { Backoff } from "./retry.ts";

/** `delayed` is `waiting` with a future `availableAt`; `active` is a job that a lease lists. */
export type JobState = "waiting" | "delayed" | "active" | "completed" | "failed" | "cancelled";

/** The states in which a job has ended. */
export type EndState = "completed" | "failed" | "cancelled";

/** Where a job lies: `ready` to be claimed in its turn, `blocked` by something other than time, or `finished` and kept. */
export type Place = "ready" | "blocked" | "finished";

/** A job's primary key is its place in line: see `place.ts` for how each part is made. */
export type JobKey = readonly [place: Place, lane: string, rank: number, at: number, order: number, tag: string];

/** How many ended jobs of each state a queue keeps for inspection; 0 removes a job as it ends. */
export interface Keep {
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
}

export type DedupeMode = "drop" | "throttle";

export interface Dedupe {
  readonly key: string;
  readonly mode: DedupeMode;
  /** How long the key stays taken, counted from the add. `throttle` needs one. */
  readonly ttlMs?: number;
}

/** The options of a job that are stored with it. Absent means the default. */
export interface StoredOptions {
  readonly maxAttempts?: number;
  readonly backoff?: Backoff;
  readonly timeoutMs?: number;
  readonly dedupe?: Dedupe;
  readonly tags?: readonly string[];
  readonly keep?: Partial<Keep>;
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
  readonly error?: StoredError;
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
  readonly tags: readonly string[];
  /** Why it waits although it is due, when it does: `name` = no worker knows its name. */
  readonly blockedBy?: string;
  readonly progress?: Json;
  readonly result?: Json;
  /** The last failure, also of a job that will be tried again. */
  readonly error?: StoredError;
  readonly startedAt?: number;
  readonly finishedAt?: number;
}
