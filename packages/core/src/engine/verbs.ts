import type { ChildOutcome } from "../job/handler.ts";
import type { JobRecord, JobState, Keep } from "../job/job-record.ts";
import type { Json } from "../job/json.ts";
import type { NewJob } from "../job/new-job.ts";
import type { RecurrenceRule } from "../job/next-occurrence.ts";
import type { StoredError } from "../job/stored-error.ts";
import type { Liveness } from "./store.ts";

/** Requests and replies of a driver's verbs: plain data, the same in process, over RPC and over HTTP. */

/**
 * Marks a call of `enqueue` as one of a sender's numbered requests (R7). Its outcome is stored for 90 days, or for
 * `ttlMs`. A repeat after a lost reply gets the same receipts and adds nothing.
 */
export interface NumberedRequest {
  /** The sender that numbers the requests: an outbox, a worker, or the hash of an `Idempotency-Key`. */
  readonly sender: string;
  readonly number: number;
  /** Digest of the jobs. A request with the same number and another digest is refused. */
  readonly digest: string;
  /** Time for which the outcome is stored, in ms. Default: 90 days. */
  readonly ttlMs?: number | undefined;
  /**
   * Label of the subject (the user of the credentials) for which the request was first sent. With credentials of
   * another subject, the request is refused with `wrong_subject` and has no effect; `details.subject` of the error is
   * the label of the present credentials. Empty: unknown; the request is refused as well, so that the sender gets the
   * label.
   */
  readonly subject?: string | undefined;
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
  /** Name of the worker for people, as the dashboard shows it. */
  readonly name?: string | undefined;
  readonly liveness: Liveness;
  readonly leaseMs: number;
  /** Number of the exchange: 1, 2, 3 … */
  readonly exchange: number;
  readonly settle: readonly Settlement[];
  /**
   * Tokens of the running attempts. Jobs that the worker's lease lists, and neither `running` nor `settle` names, are
   * released without counting an attempt.
   */
  readonly running: readonly string[];
  readonly progress?: readonly AttemptReport[] | undefined;
  readonly claim: {
    /** Maximum number of jobs to claim, over all queues. */
    readonly limit: number;
    /**
     * Number of jobs, out of `limit`, that may be claimed ahead and wait in the worker. Only jobs without limits (R18)
     * are claimed ahead, up to the first due job with a limit. Default: 0.
     */
    readonly prefetch?: number | undefined;
    /** Queues in the order in which to claim from them. */
    readonly queues: readonly ClaimQueue[];
    /** Whether the worker also runs jobs of other stores. If so, the exchange claims no isolated job. */
    readonly busy?: boolean | undefined;
    /** Remaining bytes of the reply, if replies of other stores share it: see `ReplyRoom`. */
    readonly bytes?: number | undefined;
  };
  /** Whether the worker is stopping: its lease is deleted when it holds no jobs. */
  readonly leave?: boolean | undefined;
  /** Whether the worker has no handlers, so that it does not recover jobs of dead workers. */
  readonly bystander?: boolean | undefined;
}

/** Progress and log lines that a running attempt reported since the worker's last exchange. */
export interface AttemptReport {
  readonly token: string;
  readonly value?: Json | undefined;
  /** Lines to append to the job's log. */
  readonly log?: readonly string[] | undefined;
}

/** A queue in the claim of an exchange. */
export interface ClaimQueue {
  readonly queue: string;
  /** Maximum number of jobs to claim from this queue. */
  readonly limit?: number | undefined;
  /**
   * Job names for which the worker has handlers. Absent: any name. Jobs of other names are blocked until a worker lists
   * their name.
   */
  readonly names?: readonly string[] | undefined;
  /** Claims a batch of the only name in `names`, and no other jobs. Only alone in a claim. */
  readonly batch?: BatchClaim | undefined;
}

/** A batch may be claimed when `size` jobs are due, or `waitMs` after the oldest of fewer jobs was due. */
export type BatchClaim = { readonly size: number; readonly waitMs: number };

/**
 * The outcome of an attempt. `failed` with `retryMs`: the job is tried again after that time; without: the job has
 * failed for good.
 */
export type Settlement = { readonly token: string } & (
  | { readonly outcome: "completed"; readonly result?: string | undefined }
  | { readonly outcome: "failed"; readonly error: StoredError; readonly retryMs?: number | undefined }
  | { readonly outcome: "released"; readonly delayMs: number }
  | { readonly outcome: "cancelled" }
);

/** The reply of an exchange: the claimed jobs, and changes of the worker's running jobs. */
export interface ExchangeReply {
  readonly exchange: number;
  readonly jobs: readonly ClaimedJob[];
  /**
   * Tokens in the request, of its `settle` or `running`, that the worker's lease no longer lists. Other workers may run
   * these jobs, so this worker must stop them.
   */
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
  readonly alone?: true | undefined;
  /** Ms until the next claim could succeed. Absent: unknown. */
  readonly nextWakeMs?: number | undefined;
  /** Nothing was changed: every token of the request is lost, and the exchange claimed nothing. */
  readonly futile?: true | undefined;
  /**
   * Errors of shards that have not answered, for a queue that is divided over several stores. The worker asks them
   * again; the exchange took effect on the other shards.
   */
  readonly troubles?: readonly unknown[] | undefined;
  /**
   * Settlements that were stored differently from what the worker sent, in this exchange or an earlier one, by token.
   * `null`: the shard of the job has not answered; a later reply removes the entry. Otherwise: the settlement that was
   * stored in place of a refused one.
   */
  readonly settled?:
    | ReadonlyMap<string, { readonly settlement: Settlement; readonly end: { readonly error: unknown } } | null>
    | undefined;
}

/** A claimed job with its payload and token. `children` and `moreChildren` are set for the parent of a flow. */
export interface ClaimedJob extends Partial<ChildrenPage> {
  readonly token: string;
  readonly job: JobRecord;
}

/** Outcomes of a parent's children, as many as fit into one reply (R31). */
export interface ChildrenPage {
  readonly children: readonly ChildOutcome[];
  /** The position of the next page of outcomes: see `children` of `Reply`. Absent on the last page. */
  readonly moreChildren?: string | undefined;
}

/** Selects one page of the jobs of a queue. */
export interface ListQuery {
  readonly queue: string;
  readonly state?: JobState | undefined;
  /** Only jobs that have all of these tags. */
  readonly tags?: readonly string[] | undefined;
  /** Number of jobs: 1 to 1,000. Default: 100. */
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
  /** Whether the page lists a cursor for each job: see `JobPage.positions`. */
  readonly positions?: true | undefined;
  /**
   * Maximum bytes of the page, if pages of other stores share the reply; a page has at least one job. See `ReplyRoom`.
   */
  readonly bytes?: number | undefined;
}

/** One page of a list of jobs. */
export interface JobPage<Job = JobRecord> {
  readonly jobs: readonly Job[];
  /** Cursor of the next page. Absent on the last page. */
  readonly cursor?: string | undefined;
  /** For each job, the cursor of the page that begins after it. `comparePositions` compares these cursors. */
  readonly positions?: readonly string[] | undefined;
  /** Set if the remote of an outbox cannot be reached: its jobs are missing, and there is no next page. */
  readonly partial?: true | undefined;
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
  /** Set if the remote of an outbox cannot be reached: only jobs that were not delivered are counted. */
  readonly partial?: true | undefined;
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
      readonly payload?: string | undefined;
      /** Whether the payload is encrypted. */
      readonly sealed?: true | undefined;
      readonly priority?: number | undefined;
      readonly delayMs?: number | undefined;
    }
  | ({
      readonly type: "retryAll";
      readonly queue: string;
      readonly state?: "failed" | "cancelled" | undefined;
    } & JobFilter)
  | ({ readonly type: "clear"; readonly queue: string; readonly state?: JobState | undefined } & JobFilter)
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

/** Selects the jobs of a command such as `retryAll` or `clear`. */
export interface JobFilter {
  readonly name?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  /**
   * Only jobs that ended longer ago than this, in ms; jobs that have not ended count from the time when they were
   * added.
   */
  readonly olderThanMs?: number | undefined;
}

/** Stored settings of a queue. */
export interface QueueConfig {
  readonly keep?: Partial<Keep> | undefined;
  /** At most `max` jobs start within any interval of `perMs` ms, over all workers. */
  readonly rateLimit?: RateLimit | null | undefined;
  /** Maximum number of jobs that run at once, over all workers. */
  readonly maxActive?: number | null | undefined;
  /** Maximum number of jobs that wait: due, delayed or blocked. An add over it is refused. */
  readonly maxWaiting?: number | null | undefined;
}

/** At most `max` jobs start within any interval of `perMs` milliseconds (R18). */
export interface RateLimit {
  readonly max: number;
  readonly perMs: number;
}

/** The current state of a recurrence. */
export interface Schedule {
  readonly key: string;
  readonly queue: string;
  readonly rule: RecurrenceRule;
  readonly name: string;
  readonly payload: Json;
  readonly sealed?: true | undefined;
  /** Time of the pending occurrence, in ms since epoch, and id of its job. Absent when the recurrence has ended. */
  readonly nextAt?: number | undefined;
  readonly nextId?: string | undefined;
  /** Number of occurrences placed so far. */
  readonly count: number;
}

/** The reply to a command: how many jobs it changed, and the state of a single one. */
export interface CommandReply {
  /** Number of jobs that were changed or asked to stop; 0 if no such job exists. */
  readonly affected: number;
  /** New state of a single job; absent if it was deleted. */
  readonly state?: JobState | undefined;
}
