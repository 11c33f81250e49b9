import { invalidOption, QuaysideError, refused } from "../job/errors.ts";
import type { FlowIds, FlowJob, FlowNode } from "../job/flow.ts";
import type { JobId } from "../job/job-record.ts";
import type { JobMap, JobName, UntypedJobs } from "../job/job-types.ts";
import * as LIMITS from "../job/limits.ts";
import type { FlowPart } from "../job/new-job.ts";
import { fields } from "../job/option-checks.ts";
import type { JobDraft } from "../job/prepare-job.ts";
import { eachJob } from "./job-submitter.ts";
import type { JobToAdd, KernelQueue } from "./kernel-queue.ts";
import { partsOf, type QueueParts } from "./queue-context.ts";

/**
 * Adds a job and its children, in one transaction. When the last child has ended, the parent runs and gets the outcomes
 * from `ctx.children()`.
 *
 * @example
 * const { id, children } = await addFlow(queue, {
 *   name: "album", payload: { title },
 *   children: urls.map((url) => ({ name: "resize", payload: { url }, priority: 5 })),
 * });
 */
export async function addFlow<Jobs extends JobMap>(queue: AddsTo<Jobs>, flow: FlowJob<Jobs>): Promise<FlowIds> {
  return addFlowOf(partsOf(queue), queue.name, flow);
}

/** Adds a flow to a queue, of which it takes the parts. Throws in a promise, also if the flow is invalid. */
export async function addFlowOf(parts: AddingParts, queue: string, flow: object): Promise<FlowIds> {
  const { drafts, read } = flattenFlow(flow as AnyNode, queue);
  return read(await addTogether(parts, queue, drafts));
}

/**
 * Adds jobs that run one after the other, in one transaction. Each starts when the one before has completed, and gets
 * its outcome from `ctx.children()`. If a job fails, is cancelled or removed, the jobs after it fail with
 * `child_failed`. Resolves with their ids, in the order of `jobs`. At most 100 jobs.
 *
 * A repeated call adds nothing if the last job has an `id` that exists.
 *
 * @example
 * const ids = await addSequence(queue, [
 *   { name: "charge", payload: { order } },
 *   { name: "ship", payload: { order }, maxAttempts: 10 },
 *   { name: "receipt", payload: { order }, id: `order-${order}` },
 * ]);
 */
export async function addSequence<Jobs extends JobMap>(
  queue: AddsTo<Jobs>,
  jobs: readonly JobToAdd<Jobs>[],
): Promise<readonly JobId<JobName<Jobs>>[]> {
  const last = eachJob(jobs, () => {}).length - 1;
  if (last >= LIMITS.flowDepth)
    throw invalidOption("jobs", `jobs must be at most ${LIMITS.flowDepth} in a sequence: add them as several.`);
  // Each job is the child of the one after it.
  const drafts = Array.from(jobs, (job, index) =>
    draftOf(job as AnyNode, queue.name, last > 0 ? `jobs[${index}]` : "", {
      ...(index > 0 && { ref: String(index) }),
      ...(index < last && { parentRef: String(index + 1) }),
    }),
  );
  return addTogether(partsOf(queue), queue.name, drafts);
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
  const root = fields(fields(options, "options", ["onComplete"]).onComplete, "onComplete") as AnyNode;
  if (eachJob(jobs, () => {}).length > LIMITS.flowJobs) throw tooLarge();
  const children = Array.from(jobs, (job, index) =>
    draftOf(job as AnyNode, queue.name, `jobs[${index}]`, { parentRef: "0", onFailure: "ignore" }),
  );
  const [id, ...ids] = await addTogether(partsOf(queue), queue.name, [
    draftOf(root, queue.name, "onComplete", children.length > 0 ? { ref: "0" } : {}),
    ...children,
  ]);
  return { id: id as string, ids };
}

/** A queue to which jobs of the map `Jobs` can be added. */
type AddsTo<Jobs extends JobMap> = Pick<KernelQueue<Jobs>, "name" | "addJob">;

type AddingParts = Pick<QueueParts, "context" | "submitter">;

type AnyNode = FlowNode<UntypedJobs, string>;

/** Adds the jobs of a flow to a queue, all or none. Resolves with their ids. */
async function addTogether(
  { context, submitter }: AddingParts,
  queue: string,
  drafts: readonly JobDraft[],
): Promise<readonly string[]> {
  for (const draft of drafts) if (draft.queue === queue) context.registry.check(draft.name);
  return submitter.addTogether(drafts);
}

const draftOf = ({ name, payload, ...options }: AnyNode, queue: string, at: string, flow: FlowPart): JobDraft => ({
  queue,
  name,
  payload,
  options,
  at,
  flow,
});

const tooLarge = () =>
  invalidOption(
    "flow",
    `flow must have at most ${LIMITS.flowDepth} levels and ${LIMITS.flowJobs} jobs below its root: add it as several flows.`,
  );

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
    const { queue: own, onFailure, children: given, ...job } = fields(node, path);
    const children = given ?? [];
    if (!Array.isArray(children)) throw refused(`${path}.children`, "must be a list of jobs", children);
    if (![undefined, "fail", "ignore"].includes(onFailure))
      throw refused(`${path}.onFailure`, 'must be "fail" or "ignore"', onFailure);
    if (above.includes(node)) throw refused(path, "must not be among its own children", node);
    const index = drafts.length;
    if (above.length >= LIMITS.flowDepth || index > LIMITS.flowJobs) throw tooLarge();
    const ref = String(index);
    drafts.push(
      draftOf(job as AnyNode, own ?? queue, at, {
        ...(children.length > 0 && { ref }),
        ...(parentRef !== undefined && { parentRef }),
        ...(parentRef !== undefined && onFailure && { onFailure }),
      }),
    );
    const readers = Array.from(children, (child, place) =>
      visit(child, `${at && `${at}.`}children[${place}]`, [...above, node], ref),
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
