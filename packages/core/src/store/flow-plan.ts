import { QuaysideError } from "../job/errors.ts";
import type { NewJob } from "../job/new-job.ts";
import type { StoredJob } from "../job/record.ts";
import { blocked } from "../job/transitions.ts";
import { CHILDREN_LIMIT } from "./families.ts";
import type { EnqueueReceipt } from "./verbs.ts";

export interface FlowPlan {
  /** Indices of the jobs, parents before their children, else as given. */
  readonly order: readonly number[];
  parentOf(index: number): number | undefined;
  /** The jobs as they are to be stored, and which children each new parent waits for. */
  bind(
    placed: readonly StoredJob[],
    receipts: readonly EnqueueReceipt[],
  ): { readonly placed: readonly StoredJob[]; readonly families: ReadonlyMap<StoredJob, readonly StoredJob[]> };
}

/**
 * Reads the trees in a call of `enqueue`.
 *
 * @throws {QuaysideError} `invalid_option` when a name is given twice or unknown, when jobs wait for each other in a
 * circle, when a parent has too many children or a dedupe mode that would change it while it waits.
 */
export function planFlows(jobs: readonly NewJob[]): FlowPlan {
  if (jobs.every(({ flow }) => !flow))
    return { order: [...jobs.keys()], parentOf: () => undefined, bind: (placed) => ({ placed, families: new Map() }) };
  const byRef = new Map<string, number>();
  for (const [index, { flow, dedupe }] of jobs.entries()) {
    if (flow && (dedupe?.mode === "replace" || dedupe?.mode === "debounce"))
      refuse("dedupe.mode", `of a job in a flow cannot be ${dedupe.mode}.`);
    if (flow?.ref === undefined) continue;
    if (byRef.has(flow.ref)) refuse("flow.ref", `${JSON.stringify(flow.ref)} is given twice.`);
    byRef.set(flow.ref, index);
  }
  const parents = jobs.map(({ flow }) => {
    if (flow?.parentRef === undefined) return undefined;
    return (
      byRef.get(flow.parentRef) ?? refuse("flow.parentRef", `${JSON.stringify(flow.parentRef)} is no job of this call.`)
    );
  });
  return {
    order: [...new Set(jobs.flatMap((_, index) => lineOf(index, parents)))],
    parentOf: (index) => parents[index],
    bind: (placed, receipts) => bind(jobs, parents, placed, receipts),
  };
}

/** A job and its ancestors, the eldest first. */
function lineOf(index: number, parents: readonly (number | undefined)[]): readonly number[] {
  const line = [index];
  for (let at = parents[index]; at !== undefined; at = parents[at]) {
    if (line.length > parents.length) refuse("flow.parentRef", "makes jobs wait for each other in a circle.");
    line.unshift(at);
  }
  return line;
}

function bind(
  jobs: readonly NewJob[],
  parents: readonly (number | undefined)[],
  placed: readonly StoredJob[],
  receipts: readonly EnqueueReceipt[],
): ReturnType<FlowPlan["bind"]> {
  const byName = new Map(placed.map((job) => [JSON.stringify([job.queue, job.id]), job]));
  const nameAt = (index: number): string => JSON.stringify([jobs[index]?.queue, receipts[index]?.id]);
  const children = new Map<string, string[]>();
  for (const [index, parent] of parents.entries()) {
    if (parent === undefined || receipts[index]?.deduplicated) continue;
    children.set(nameAt(parent), [...(children.get(nameAt(parent)) ?? []), nameAt(index)]);
    const child = byName.get(nameAt(index)) as StoredJob;
    const { queue, id } = byName.get(nameAt(parent)) as StoredJob;
    byName.set(nameAt(index), { ...child, parent: { queue, id, onFailure: jobs[index]?.flow?.onFailure ?? "fail" } });
  }
  for (const [name, names] of children) {
    if (names.length > CHILDREN_LIMIT)
      refuse("flow", `has a parent of ${names.length} children; at most ${CHILDREN_LIMIT} are allowed.`);
    const job = byName.get(name) as StoredJob;
    byName.set(name, { ...blocked(job, "children", job.id), hasChildren: true });
  }
  const families = new Map(
    [...children].map(([name, names]) => [
      byName.get(name) as StoredJob,
      names.map((child) => byName.get(child) as StoredJob),
    ]),
  );
  return { placed: [...byName.values()], families };
}

function refuse(option: string, message: string): never {
  throw new QuaysideError("invalid_option", `${option} ${message}`, { option });
}
