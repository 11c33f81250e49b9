import type { ChildOutcome, JobRecord, JobRequest, Json, PublishRequest } from "@quayside/core";
import type { Reply } from "../rpc/queue-rpc.ts";
import type { SentFailure } from "./sent-failure.ts";

/** The argument of a call to a consumer: one attempt of a job. */
export interface JobCall {
  readonly job: JobRecord;
  /** How the children of the job ended, as many as one call carries. */
  readonly children: readonly ChildOutcome[];
  /** How many there are, where those are not all: the link has the others. */
  readonly allChildren?: number;
  /** Back to the attempt, for as long as the call lasts. */
  readonly link: JobLink;
}

/** Calls that a handler outside the object makes on its attempt inside it. */
export interface JobLink {
  report(report: JobReport): Promise<void>;
  /** Children from this one on, as many as one answer carries. */
  children(from: number): Promise<readonly ChildOutcome[]>;
  enqueue(request: JobRequest): Promise<Reply<string>>;
  publish(request: PublishRequest): Promise<Reply<readonly string[]>>;
  /** Answers when the attempt should stop, with the reason, or when it has ended: undefined. */
  aborted(): Promise<SentFailure | undefined>;
}

/** The last progress and the lines of the log since the last report. */
export interface JobReport {
  readonly progress?: Json;
  readonly lines: readonly string[];
}

/** How an attempt ended elsewhere. */
export type JobOutcome =
  | { readonly outcome: "completed" /** JSON text. */; readonly result?: string }
  | { readonly outcome: "failed"; readonly failure: SentFailure }
  | { readonly outcome: "released"; readonly delayMs: number; readonly fault?: SentFailure }
  /** Nothing there runs jobs of this name. */
  | { readonly outcome: "unknown" };

/** A consumer's entrypoint, as an object calls it. */
export interface JobConsumer {
  runJob(call: JobCall): Promise<JobOutcome>;
}
