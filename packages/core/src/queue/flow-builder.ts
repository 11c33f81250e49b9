import { invalidOption, QuaysideError, refused } from "../job/errors.ts";
import type { JobOptions } from "../job/job-options.ts";
import type { ChildFailure } from "../job/job-record.ts";
import type { JobMap, JobName, PayloadOf, WithPayload } from "../job/job-types.ts";
import * as LIMITS from "../job/limits.ts";
import { fields } from "../job/option-checks.ts";
import type { JobDraft } from "../job/prepare-job.ts";
import { eachJob } from "./job-submitter.ts";
import type { JobToAdd, KernelQueue } from "./kernel-queue.ts";
import { partsOf } from "./queue-context.ts";

/** A job of a flow, with the jobs that it waits for. */
export type FlowNode<Jobs extends JobMap, Name extends JobName<Jobs>> = WithPayload<PayloadOf<Jobs, Name>> & {
  readonly name: Name;
  /**
   * Queue of the job. Default: the queue to which the flow is added. The queues of all jobs in a flow must have the
   * same driver.
   */
  readonly queue?: string | undefined;
  readonly options?: JobOptions | undefined;
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
};

/** A job of a flow, of any name in the job map, with its children. */
export type FlowJob<Jobs extends JobMap> = { [Name in JobName<Jobs>]: FlowNode<Jobs, Name> }[JobName<Jobs>];

/** The ids of a flow's jobs, nested as the jobs of the flow. */
export interface FlowIds {
  readonly id: string;
  readonly children: readonly FlowIds[];
}

/**
 * Adds a job and its children, in one transaction. When the last child has ended, the parent runs and gets the outcomes
 * from `ctx.children()`.
 *
 * @example
 * const { id, children } = await addFlow(queue, {
 *   name: "album", payload: { title },
 *   children: urls.map((url) => ({ name: "resize", payload: { url } })),
 * });
 */
export async function addFlow<Jobs extends JobMap>(queue: AddsTo<Jobs>, flow: FlowJob<Jobs>): Promise<FlowIds> {
  const { context, submitter } = partsOf(queue);
  const { drafts, read } = flattenFlow(flow as AnyNode, queue.name);
  for (const draft of drafts) if (draft.queue === queue.name) context.registry.check(draft.name);
  return read(await submitter.addTogether(drafts));
}

/**
 * Adds jobs, and one more job (`onComplete`) that runs when all of them have ended, successfully or not, in one
 * transaction.
 *
 * @example
 * const { id, ids } = await addBatch(queue, rows.map((row) => ({ name: "import", payload: row })), {
 *   onComplete: { name: "report", payload: { file } },
 * });
 */
export async function addBatch<Jobs extends JobMap>(
  queue: AddsTo<Jobs>,
  jobs: readonly JobToAdd<Jobs>[],
  options: { readonly onComplete: JobToAdd<Jobs> },
): Promise<{ readonly id: string; readonly ids: readonly string[] }> {
  const last = fields(fields(options, "options", ["onComplete"]).onComplete, "onComplete");
  const node = ({ name, payload, ...options }: JobToAdd<Jobs>) => ({ name, payload, options });
  const children = eachJob(jobs, (job) => ({ ...node(job), onFailure: "ignore" as const }));
  const flow = await addFlow(queue, { ...node(last), children } as unknown as FlowJob<Jobs>);
  return { id: flow.id, ids: flow.children.map(({ id }) => id) };
}

/** A queue to which jobs of the map `Jobs` can be added. */
type AddsTo<Jobs extends JobMap> = Pick<KernelQueue<Jobs>, "name" | "addJob">;

interface AnyNode {
  readonly name: string;
  readonly payload?: unknown;
  readonly queue?: string | undefined;
  readonly options?: JobOptions | undefined;
  readonly onFailure?: ChildFailure | undefined;
  readonly children?: readonly AnyNode[] | undefined;
}

const FIELDS = ["name", "payload", "queue", "options", "onFailure", "children"];

/**
 * Converts a flow to the jobs of one `enqueue`, parents first. The function that it returns nests their ids as the
 * flow.
 */
function flattenFlow(
  root: AnyNode,
  queue: string,
): { readonly drafts: readonly JobDraft[]; readonly read: (ids: readonly string[]) => FlowIds } {
  const drafts: JobDraft[] = [];
  const visit = (
    node: AnyNode,
    at: string,
    above: readonly AnyNode[],
    parentRef?: string,
  ): ((ids: readonly string[]) => FlowIds) => {
    const path = at || "flow";
    const prefix = at && `${at}.`;
    const children = fields(node, path, FIELDS, prefix).children ?? [];
    if (!Array.isArray(children)) throw refused(`${path}.children`, "must be a list of jobs", children);
    if (![undefined, "fail", "ignore"].includes(node.onFailure))
      throw refused(`${path}.onFailure`, 'must be "fail" or "ignore"', node.onFailure);
    if (above.includes(node)) throw refused(path, "must not be among its own children", node);
    const index = drafts.length;
    if (above.length >= LIMITS.flowDepth || index > LIMITS.flowJobs)
      throw invalidOption(
        "flow",
        `flow must have at most ${LIMITS.flowDepth} levels and ${LIMITS.flowJobs} jobs below its root: add it as several flows.`,
      );
    const ref = String(index);
    drafts.push({
      queue: node.queue ?? queue,
      name: node.name,
      payload: node.payload,
      options: node.options,
      at,
      flow: {
        ...(children.length > 0 && { ref }),
        ...(parentRef !== undefined && { parentRef }),
        ...(parentRef !== undefined && node.onFailure && { onFailure: node.onFailure }),
      },
    });
    const readers = Array.from(children, (child, place) =>
      visit(child, `${prefix}children[${place}]`, [...above, node], ref),
    );
    return (ids) => {
      const id = ids[index];
      if (id === undefined) throw new QuaysideError("internal", "The driver answered too few receipts.");
      return { id, children: readers.map((reader) => reader(ids)) };
    };
  };
  const read = visit(root, "", []);
  return { drafts, read };
}
