import type {
  ChildOutcome,
  FlowIds,
  FlowJob,
  JobRecord,
  JobRequest,
  Json,
  PublishRequest,
  UntypedJobs,
} from "@quayside/core";
import type { Reply } from "../rpc/queue-rpc.ts";
import type { SentFailure } from "./sent-failure.ts";

/** The argument of a call to a consumer: a job for one attempt. */
export interface JobCall {
  readonly job: JobRecord;
  /** Outcomes of the job's children, as many as fit into one call. */
  readonly children: readonly ChildOutcome[];
  /** Total number of children, if `children` has not all of them; `link.children` returns the others. */
  readonly allChildren?: number | undefined;
  /** The object that the consumer calls back during the attempt. */
  readonly link: JobLink;
}

/** The methods of an attempt in the queue's object that its consumer calls. */
export interface JobLink {
  report(report: JobReport): Promise<void>;
  /** Returns outcomes of the job's children from index `from`, as many as fit into one reply. */
  children(from: number): Promise<readonly ChildOutcome[]>;
  enqueue(request: JobRequest): Promise<Reply<string>>;
  publish(request: PublishRequest): Promise<Reply<readonly string[]>>;
  addFlow(flow: FlowJob<UntypedJobs>): Promise<Reply<FlowIds>>;
  /** Returns the reason when the attempt should stop, or undefined when it has ended. */
  aborted(): Promise<SentFailure | undefined>;
}

/** Progress and log lines of an attempt since its last report. */
export interface JobReport {
  readonly progress?: Json | undefined;
  readonly lines: readonly string[];
}

/** The outcome of an attempt that a consumer has run. */
export type JobOutcome =
  | { readonly outcome: "completed" /** JSON text. */; readonly result?: string | undefined }
  | { readonly outcome: "failed"; readonly failure: SentFailure }
  | { readonly outcome: "released"; readonly delayMs: number; readonly fault?: SentFailure | undefined }
  /** The consumer has no handler for this job name. */
  | { readonly outcome: "unknown" };

/** The RPC interface of a consumer's entrypoint. */
export interface JobConsumer {
  runJob(call: JobCall): Promise<JobOutcome>;
}
