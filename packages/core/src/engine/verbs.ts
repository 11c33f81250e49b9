import type { ChildOutcome } from "../job/handler.ts";
import type { JobRecord, JobState, Keep } from "../job/job-record.ts";
import type { Json } from "../job/json.ts";
import type { NewJob } from "../job/new-job.ts";
import type { RecurrenceRule } from "../job/next-occurrence.ts";
import type { StoredError } from "../job/stored-error.ts";
import type { Liveness } from "./store.ts";

/** Requests and replies of a driver's verbs: plain data, the same in process, over RPC and over HTTP. */

/**
 * Identifies an `enqueue` as one of a sender's numbered requests (R7). Its outcome is stored for 90 days or `ttlMs`; a
 * repeat, after a lost reply, returns the same and adds nothing.
 */
export interface NumberedRequest {
  /** The sender that counts the requests: an outbox, a worker, the hash of an `Idempotency-Key`. */
  readonly sender: string;
  readonly number: number;
  /** Digest of the content. The same number with another digest is refused. */
  readonly digest: string;
  /** Time for which the outcome is stored, in ms. Default: 90 days. */
  readonly ttlMs?: number;
  /**
   * Label of the subject for which the request was first sent. With credentials of another subject, the request is
   * refused with `wrong_subject` and has no effect; `details.subject` of the error is the label of the credentials.
   * Empty: unknown; also refused, to get the label.
   */
  readonly subject?: string;
}

/** The receipt of one added job. */
export interface EnqueueReceipt {
  readonly id: string;
  /** Whether a job with this id or dedupe key existed already, so that nothing was written. */
  readonly deduplicated: boolean;
}

/** One exchange of a worker: settles attempts, renews its lease and claims jobs, in one transaction. */
export interface ExchangeRequest {
  /** Key of the worker, random per start. */
  readonly worker: string;
  /** A label for people. */
  readonly name?: string;
  readonly liveness: Liveness;
  readonly leaseMs: number;
  /** Number of the exchange: 1, 2, 3 … */
  readonly exchange: number;
  readonly settle: readonly Settlement[];
  /**
   * Tokens of the running attempts. Jobs of the lease that are neither here nor in `settle` are released, without
   * counting an attempt.
   */
  readonly running: readonly string[];
  readonly progress?: readonly AttemptReport[];
  readonly claim: {
    /** Maximum number of jobs to claim, over all queues. */
    readonly limit: number;
    /**
     * Number of jobs, out of `limit`, that are claimed ahead and wait in the worker. Only jobs without limits (R18), up
     * to the first due job with one. Default: 0.
     */
    readonly prefetch?: number;
    /** Queues in the order in which to claim from them. */
    readonly queues: readonly ClaimQueue[];
    /** Whether the worker also runs jobs of other stores, so that it cannot run an isolated job now. */
    readonly busy?: boolean;
    /** Remaining bytes of the reply, if other stores share it: see `Reply`. */
    readonly bytes?: number;
  };
  /** Whether the worker is stopping: its lease is deleted when it holds no jobs. */
  readonly leave?: boolean;
  /** Whether the worker has no handlers, so that it does not recover jobs of dead workers. */
  readonly bystander?: boolean;
}

/** Progress and log lines of a running attempt since the last exchange. */
export interface AttemptReport {
  readonly token: string;
  readonly value?: Json;
  /** Lines to append to the job's log. */
  readonly log?: readonly string[];
}

/** A queue in the claim of an exchange. */
export interface ClaimQueue {
  readonly queue: string;
  /** Maximum number of jobs to claim from this queue. */
  readonly limit?: number;
  /**
   * Job names for which the worker has handlers. Absent: any. Jobs of other names are blocked until a worker lists the
   * name.
   */
  readonly names?: readonly string[];
}

/** The outcome of an attempt. `failed` without `retryMs`: the job has failed for good. */
export type Settlement = { readonly token: string } & (
  | { readonly outcome: "completed"; readonly result?: string }
  | { readonly outcome: "failed"; readonly error: StoredError; readonly retryMs?: number }
  | { readonly outcome: "released"; readonly delayMs: number }
  | { readonly outcome: "cancelled" }
);

/** The reply of an exchange: the claimed jobs, and changes of the worker's running jobs. */
export interface ExchangeReply {
  readonly exchange: number;
  readonly jobs: readonly ClaimedJob[];
  /** Tokens of settlements and of `running` that the worker no longer holds: other workers may run these jobs. */
  readonly lost: readonly string[];
  /** Tokens of running jobs that are to be cancelled. */
  readonly cancel: readonly string[];
  /**
   * Jobs that this exchange recovered from dead workers. Those that are `failed` were interrupted too often; this
   * worker runs their `onFailed`.
   */
  readonly interrupted: readonly JobRecord[];
  /** Job names without a handler in this worker, whose jobs are now blocked. */
  readonly unknown: readonly { readonly queue: string; readonly name: string }[];
  /** An isolated job runs or waits to run: the worker must claim no other job, from any store, until it has ended. */
  readonly alone?: true;
  /** Ms until the next claim could succeed. Absent: unknown. */
  readonly nextWakeMs?: number;
  /** Nothing was changed: all tokens are lost, and the exchange claimed nothing. */
  readonly futile?: true;
  /** Errors of parts of the queue that have not answered. They are asked again; the other parts have done theirs. */
  readonly troubles?: readonly unknown[];
  /**
   * By token, settlements that differ from what the worker sent, in this exchange or an earlier one. `null`: a part of
   * the queue has not answered; a later reply removes it. Otherwise: what was stored in place of a refused settlement.
   */
  readonly settled?: ReadonlyMap<
    string,
    { readonly settlement: Settlement; readonly end: { readonly error: unknown } } | null
  >;
}

/** A claimed job. `children` and `moreChildren` are set for the parent of a flow. */
export interface ClaimedJob extends Partial<ChildrenPage> {
  readonly token: string;
  readonly job: JobRecord;
}

/** Outcomes of a parent's children, as many as fit into one reply (R31). */
export interface ChildrenPage {
  readonly children: readonly ChildOutcome[];
  /** The position of the next page: see `Reply.children`. Absent on the last page. */
  readonly moreChildren?: string;
}

/** A query for one page of the jobs of a queue. */
export interface ListQuery {
  readonly queue: string;
  readonly state?: JobState;
  /** Only jobs that have all of these tags. */
  readonly tags?: readonly string[];
  /** Number of jobs: 1 to 1,000. Default: 100. */
  readonly limit?: number;
  readonly cursor?: string;
  /** Adds the cursor after each job. */
  readonly positions?: true;
  /** Maximum bytes of the page (unless one job has more), if other stores share the reply: see `Reply`. */
  readonly bytes?: number;
}

/** One page of a list of jobs. */
export interface JobPage {
  readonly jobs: readonly JobRecord[];
  /** Cursor of the next page. Absent on the last page. */
  readonly cursor?: string;
  /** For each job, the cursor of the jobs after it; see `comparePositions`. */
  readonly positions?: readonly string[];
}

/** Numbers of a queue's jobs by state. */
export interface JobCounts {
  readonly waiting: number;
  readonly delayed: number;
  readonly active: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly paused: boolean;
}

/**
 * A command to a queue.
 * - `cancel` ends a waiting job as `cancelled`, or asks a running one to stop.
 * - `retry` puts a failed or cancelled job back with new attempts.
 * - `promote` makes a delayed job due now.
 * - `remove` deletes a job in any state (a running one is asked to stop first).
 * - `update` changes a waiting job: its payload, priority or delay (from now).
 * - `retryAll` retries all failed (or cancelled) jobs that match a filter.
 * - `clear` removes all jobs of the queue that match a filter.
 * - `pause` and `resume` stop and restart claiming; running jobs continue.
 * - `configure` changes settings of the queue; the last call applies. `null` removes a limit.
 * - `schedule` sets a recurrence under a key, `unschedule` ends it.
 */
export type Command =
  | { readonly type: "cancel" | "retry" | "promote" | "remove"; readonly queue: string; readonly id: string }
  | {
      readonly type: "update";
      readonly queue: string;
      readonly id: string;
      readonly payload?: string;
      /** The payload is encrypted. */
      readonly sealed?: true;
      readonly priority?: number;
      readonly delayMs?: number;
    }
  | ({ readonly type: "retryAll"; readonly queue: string; readonly state?: "failed" | "cancelled" } & JobFilter)
  | ({ readonly type: "clear"; readonly queue: string; readonly state?: JobState } & JobFilter)
  | { readonly type: "pause" | "resume"; readonly queue: string }
  | ({ readonly type: "configure"; readonly queue: string } & QueueConfig)
  | {
      readonly type: "schedule";
      readonly queue: string;
      readonly key: string;
      readonly rule: RecurrenceRule;
      readonly job: NewJob;
    }
  | { readonly type: "unschedule"; readonly queue: string; readonly key: string };

/** A filter of jobs for a command. */
export interface JobFilter {
  readonly name?: string;
  readonly tags?: readonly string[];
  /** Only jobs that ended (or, unfinished ones, were added) longer ago than this. */
  readonly olderThanMs?: number;
}

/** Stored settings of a queue. */
export interface QueueConfig {
  readonly keep?: Partial<Keep>;
  /** At most `max` jobs start within any interval of `perMs` ms, over all workers. */
  readonly rateLimit?: RateLimit | null;
  /** Maximum number of jobs that run at once, over all workers. */
  readonly maxActive?: number | null;
}

/** At most `max` jobs start within any interval of `perMs` milliseconds (R18). */
export interface RateLimit {
  readonly max: number;
  readonly perMs: number;
}

/** A recurrence in its current state. */
export interface Schedule {
  readonly key: string;
  readonly queue: string;
  readonly rule: RecurrenceRule;
  readonly name: string;
  readonly payload: Json;
  readonly sealed?: true;
  /** Time of the pending occurrence, in ms since epoch, and id of its job. Absent when the recurrence has ended. */
  readonly nextAt?: number;
  readonly nextId?: string;
  /** Number of occurrences placed so far. */
  readonly count: number;
}

/** The reply to a command: how many jobs it changed, and the state of a single one. */
export interface CommandReply {
  /** Number of jobs that were changed or asked to stop; 0 if no such job exists. */
  readonly affected: number;
  /** New state of a single job; absent if it was deleted. */
  readonly state?: JobState;
}
