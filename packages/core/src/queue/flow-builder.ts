import { invalidOption, QuaysideError, refused } from "../job/errors.ts";
import type { JobMap, JobName, PayloadOf } from "../job/job-map.ts";
import type { JobOptions } from "../job/job-options.ts";
import type { ChildFailure } from "../job/job-record.ts";
import { LIMITS } from "../job/limits.ts";
import { fields } from "../job/option-checks.ts";
import type { JobDraft } from "../job/prepare-job.ts";

/** A job of a flow, with the jobs that it waits for. */
export interface FlowNode<Jobs extends JobMap, Name extends JobName<Jobs>> {
  readonly name: Name;
  readonly payload: PayloadOf<Jobs, Name>;
  /** Default: the queue that the flow is added to. All queues of a flow have the same driver. */
  readonly queue?: string;
  readonly options?: JobOptions;
  /** What becomes of its parent when this job fails, is cancelled or removed. Default `fail`. */
  readonly onFailure?: ChildFailure;
  /**
   * They all end before this job runs; its handler gets their results from `ctx.children()`. A child that exists already,
   * by its id or dedupe key, is waited for; one that has ended and is not kept refuses the flow with `child_exists`.
   * A flow has at most 100 levels, and at most 10,000 jobs below its root.
   */
  readonly children?: readonly FlowJob<Jobs>[];
}

/** A job of a flow, of any name in the job map, with its children. */
export type FlowJob<Jobs extends JobMap> = { [Name in JobName<Jobs>]: FlowNode<Jobs, Name> }[JobName<Jobs>];

/** The ids of a flow, in its own shape. */
export interface FlowIds {
  readonly id: string;
  readonly children: readonly FlowIds[];
}

interface AnyNode {
  readonly name: string;
  readonly payload: unknown;
  readonly queue?: string;
  readonly options?: JobOptions;
  readonly onFailure?: ChildFailure;
  readonly children?: readonly AnyNode[];
}

const FIELDS = ["name", "payload", "queue", "options", "onFailure", "children"];

/** A flow as the jobs of one `enqueue`, parents first, and how to read the receipts. */
export function flattenFlow(
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
