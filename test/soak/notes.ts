/**
 * A report of a producer, handler or operator to the ledger. A handler waits until its note is kept, so the order of
 * notes is the order of causes: `done` is kept before the attempt can be settled.
 */
export type Note =
  /** An add is on its way; nothing is known of it yet. */
  | { readonly what: "tried"; readonly job: number; readonly kind: Kind }
  /** The add was acknowledged. From here on the job may not be lost. */
  | { readonly what: "added"; readonly job: number }
  /** A handler starts. `run` is unique, `worker` is the label of the process or tab that runs it, `id` that of the job. */
  | {
      readonly what: "began";
      readonly job: number;
      readonly id: string;
      readonly run: string;
      readonly worker: string;
      readonly kind: Kind;
    }
  /** The handler has done the work of the job. */
  | { readonly what: "done"; readonly job: number; readonly run: string }
  /** The handler ends without having done the work: it throws, or gives the job back. */
  | { readonly what: "over"; readonly job: number; readonly run: string }
  /** An operator is about to cancel or remove the job. */
  | { readonly what: "cancelled"; readonly job: number }
  /** An operator is about to put failed jobs back in line: this one, or all. */
  | { readonly what: "retried"; readonly job?: number }
  /** An exchange of this worker is without an answer for a third of its lease; it has one now. */
  | { readonly what: "unanswered" | "answered"; readonly worker: string }
  /** An occurrence of the recurrence ran. */
  | { readonly what: "recurred" }
  /** Something was answered that no queue may answer. */
  | { readonly what: "wrong"; readonly text: string };

/** How a job's handler behaves. */
export type Kind = "plain" | "slow" | "flaky" | "hopeless" | "released" | "talkative" | "badResult";

/** Keeps notes; resolves once they are kept. */
export type Sink = (...notes: Note[]) => Promise<void>;

/** Why the attempts of a worker may be repeated. Lost answers, clock jumps and a full disk explain nothing. */
export type Cause =
  | "killed"
  | "left without an answer for a third of its lease"
  | "cut off for longer than its lease"
  | "restarted with its store"
  | "stopped";
