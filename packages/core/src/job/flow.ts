import type { JobOptions } from "./job-options.ts";
import type { ChildFailure } from "./job-record.ts";
import type { JobMap, JobName, PayloadOf, WithPayload } from "./job-types.ts";

/** A job of a flow: name, payload and job options, with the jobs that it waits for. */
export type FlowNode<Jobs extends JobMap, Name extends JobName<Jobs>> = JobOptions & {
  readonly name: Name;
  /**
   * Queue of the job. Default: the queue to which the flow is added. The queues of all jobs in a flow must have the
   * same driver.
   */
  readonly queue?: string | undefined;
  /**
   * Effect on the parent if this job fails, is cancelled or removed: the parent fails, or ignores it. Default: `fail`.
   */
  readonly onFailure?: ChildFailure | undefined;
  /**
   * Jobs that must end before this job runs; its handler gets their outcomes from `ctx.children()`. If a child exists
   * already, by its id or dedupe key, the parent waits for the existing job; if that job has ended and was not kept,
   * the flow is refused with `child_exists`. A flow has at most 100 levels, and at most 10,000 jobs below its root.
   */
  readonly children?: readonly FlowJob<Jobs>[] | undefined;
} & WithPayload<PayloadOf<Jobs, Name>>;

/** A job of a flow, of any name in the job map, with its children. */
export type FlowJob<Jobs extends JobMap> = { [Name in JobName<Jobs>]: FlowNode<Jobs, Name> }[JobName<Jobs>];

/** The ids of a flow's jobs, nested as the jobs of the flow. */
export interface FlowIds {
  readonly id: string;
  readonly children: readonly FlowIds[];
}
