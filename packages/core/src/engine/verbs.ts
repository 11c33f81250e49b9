import type { ChildOutcome } from "../job/handler.ts";
import type { JobRecord, JobState, Keep } from "../job/job-record.ts";
import type { Json } from "../job/json.ts";
import type { NewJob } from "../job/new-job.ts";
import type { RecurrenceRule } from "../job/next-occurrence.ts";
import type { StoredError } from "../job/stored-error.ts";
import type { Liveness } from "./store.ts";

/** Requests and replies of the verbs of a driver: plain data, the same in process, over RPC and over HTTP. */

/**
 * Marks an `enqueue` as one of a sender's numbered requests (R7): the outcome is remembered for 90 days or as long as it
 * says, so that a request sent again, its answer lost, answers the same and adds nothing.
 */
export interface NumberedRequest {
  /** Who numbers: an outbox, a worker, the hash of an `Idempotency-Key`. */
  readonly sender: string;
  readonly number: number;
  /** Of the content: the same number with another content is refused. */
  readonly digest: string;
  /** Ms for which the outcome is remembered, where 90 days are more than it takes. */
  readonly ttlMs?: number;
  /**
   * For whom the request was first sent, where callers have subjects: the label that a refusal with `wrong_subject` tells
   * (`details.subject`). With another subject's credentials the request is refused so, and nothing is done. Empty: not
   * known yet; it is refused too, and the refusal tells the label.
   */
  readonly subject?: string;
}

/** The receipt of one added job. */
export interface EnqueueReceipt {
  readonly id: string;
  /** True when a job with this id or dedupe key stood already and nothing was written. */
  readonly deduplicated: boolean;
}

/** One exchange of a worker: settles attempts, renews its lease and claims jobs, in one transaction. */
export interface ExchangeRequest {
  /** Random per start of the worker. */
  readonly worker: string;
  /** A label for people. */
  readonly name?: string;
  readonly liveness: Liveness;
  readonly leaseMs: number;
  /** 1, 2, 3 … */
  readonly exchange: number;
  readonly settle: readonly Settlement[];
  /** Tokens of what still runs; what the lease lists beyond these and `settle` is released, not counted. */
  readonly running: readonly string[];
  readonly progress?: readonly AttemptReport[];
  readonly claim: {
    /** How many jobs at most, over all queues. */
    readonly limit: number;
    /**
     * The last so many of them are to wait in the worker's hands: only jobs that nothing limits (R18), up to the first due
     * one that something does. Default 0.
     */
    readonly prefetch?: number;
    /** In the order in which to look. */
    readonly queues: readonly ClaimQueue[];
    /** It runs jobs of other stores, too: what must be the only one that runs is not for it now. */
    readonly busy?: boolean;
    /** Bytes left of the reply, where other stores have a share in it: see `Reply`. */
    readonly bytes?: number;
  };
  /** The worker is leaving: its lease goes when it holds nothing more. */
  readonly leave?: boolean;
  /** It runs no handlers: it takes nothing back from workers that are gone, and leaves that to those who can. */
  readonly bystander?: boolean;
}

/** Progress and lines of log of a running attempt since the last exchange. */
export interface AttemptReport {
  readonly token: string;
  readonly value?: Json;
  /** Lines to append to the job's log. */
  readonly log?: readonly string[];
}

/** A queue that a worker claims from, as one exchange names it. */
export interface ClaimQueue {
  readonly queue: string;
  /** At most so many of this queue. */
  readonly limit?: number;
  /** The names it has handlers for; absent: any. Others step aside until a worker declares them. */
  readonly names?: readonly string[];
}

/** How an attempt ended. `retryMs` absent: for good. */
export type Settlement = { readonly token: string } & (
  | { readonly outcome: "completed"; readonly result?: string }
  | { readonly outcome: "failed"; readonly error: StoredError; readonly retryMs?: number }
  | { readonly outcome: "released"; readonly delayMs: number }
  | { readonly outcome: "cancelled" }
);

/** The reply to an exchange: the claimed jobs, and the state of the jobs that the worker runs. */
export interface ExchangeReply {
  readonly exchange: number;
  readonly jobs: readonly ClaimedJob[];
  /** Tokens of settlements and of `running` that are no longer held: another may run these jobs. */
  readonly lost: readonly string[];
  /** Tokens of running jobs whose end was requested. */
  readonly cancel: readonly string[];
  /**
   * Jobs that this exchange took back from workers that are gone, as they now stand. The `failed` among them had been
   * interrupted too often: their `onFailed` is this worker's to run.
   */
  readonly interrupted: readonly JobRecord[];
  /** Names met that this worker does not know, now out of its way. */
  readonly unknown: readonly { readonly queue: string; readonly name: string }[];
  /**
   * A job that was interrupted before is, or waits to be, the only one that its worker runs: it takes nothing else, here
   * or elsewhere, until that is over.
   */
  readonly alone?: true;
  /** Ms until the next claim could succeed; absent: nothing is known to come. */
  readonly nextWakeMs?: number;
  /** All that it settles or renews is lost, and it asked for nothing else: nothing was changed. */
  readonly futile?: true;
  /** Errors of parts of the queue that have not answered; they are asked again, and the others' part of the exchange is done. */
  readonly troubles?: readonly unknown[];
  /**
   * By token, what is otherwise than the worker sent it, in this exchange or an earlier one: `null` for a settlement that a
   * part of the queue has not answered, until a later reply no longer names it; what was stored in place of one that it refused.
   */
  readonly settled?: ReadonlyMap<
    string,
    { readonly settlement: Settlement; readonly end: { readonly error: unknown } } | null
  >;
}

/** `children` and `moreChildren`: where it is the parent of a flow. */
export interface ClaimedJob extends Partial<ChildrenPage> {
  readonly token: string;
  readonly job: JobRecord;
}

/** How the children of a parent ended, as many as one reply carries (R31). */
export interface ChildrenPage {
  readonly children: readonly ChildOutcome[];
  /** Where to go on: see `Reply.children`. Absent: these are the last. */
  readonly moreChildren?: string;
}

/** A query for one page of the jobs of a queue. */
export interface ListQuery {
  readonly queue: string;
  readonly state?: JobState;
  /** Only jobs that bear all of these tags. */
  readonly tags?: readonly string[];
  /** 1 to 1,000; default 100. */
  readonly limit?: number;
  readonly cursor?: string;
  /** Adds the position of each job of the page. */
  readonly positions?: true;
  /** Most bytes of the page, unless its one job has more, where other stores have a share in it: see `Reply`. */
  readonly bytes?: number;
}

/** One page of a list of jobs. */
export interface JobPage {
  readonly jobs: readonly JobRecord[];
  /** Pass to the next call; absent on the last page. */
  readonly cursor?: string;
  /** For each job the cursor of what comes after it; see `comparePositions`. */
  readonly positions?: readonly string[];
}

/** Jobs of a queue, by state. */
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
 * - `cancel` ends a waiting job as `cancelled`; asks a running one to stop.
 * - `retry` puts a failed or cancelled job back in line with fresh attempts.
 * - `promote` makes a delayed job due now.
 * - `remove` deletes a job in any state (a running one is asked to stop first).
 * - `update` changes a waiting job: its payload, priority or delay (from now).
 * - `retryAll` puts all failed (or cancelled) jobs back in line, as far as a filter says.
 * - `clear` removes all jobs of the queue, or as far as a filter says.
 * - `pause` and `resume` stop and restart claiming; running jobs go on.
 * - `configure` sets what belongs to the queue; the last writer wins. `null` lifts a limit.
 * - `schedule` sets a recurrence under a key, `unschedule` ends it.
 */
export type Command =
  | { readonly type: "cancel" | "retry" | "promote" | "remove"; readonly queue: string; readonly id: string }
  | {
      readonly type: "update";
      readonly queue: string;
      readonly id: string;
      readonly payload?: string;
      /** Of the payload: it is encrypted. */
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

/** Which jobs a command is about. */
export interface JobFilter {
  readonly name?: string;
  readonly tags?: readonly string[];
  /** Only jobs that ended (or, not ended, were added) longer ago than this. */
  readonly olderThanMs?: number;
}

/** Settings of a queue, kept in its store. */
export interface QueueConfig {
  readonly keep?: Partial<Keep>;
  /** A bucket of `max` claims, over all workers, that fills again evenly within `perMs`: a burst of `max`, then `max` per `perMs`. */
  readonly rateLimit?: RateLimit | null;
  /** At most so many jobs at once, over all workers. */
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
  /** The pending occurrence: its nominal instant and its job. Absent when the rule has none left. */
  readonly nextAt?: number;
  readonly nextId?: string;
  /** Occurrences placed so far. */
  readonly count: number;
}

/** The reply to a command: how many jobs it changed, and the state of a single one. */
export interface CommandReply {
  /** How many jobs it changed (or asked to stop); 0 also when there was no such job. */
  readonly affected: number;
  /** The state in which a single job now is; absent when it is gone. */
  readonly state?: JobState;
}
