import type { EnqueueReceipt } from "../engine/verbs.ts";
import { invalidOption, QuaysideError } from "../job/errors.ts";
import type { Parent, StoredJob } from "../job/job-record.ts";
import { memberName } from "../job/job-reference.ts";
import * as LIMITS from "../job/limits.ts";
import type { NewJob } from "../job/new-job.ts";
import { blocked } from "../job/transitions.ts";
import type { EndedChild } from "./flows.ts";

export interface FlowPlan {
  /**
   * Indices of the jobs in the order in which to add them: parents before their children, otherwise the given order.
   */
  readonly order: readonly number[];
  parentOf(index: number): number | undefined;
  /** Returns the nearest ancestor whose id or dedupe key was given by the caller, and the job's position below it. */
  anchorOf(index: number): { readonly index: number; readonly position: number } | undefined;
  /**
   * Connects children with their parents.
   *
   * @param existing the existing jobs named by receipts, by `memberName`.
   * @throws {QuaysideError} `child_exists` if a child exists for which the parent cannot wait.
   */
  bind(
    placed: ReadonlyMap<string, StoredJob>,
    receipts: readonly EnqueueReceipt[],
    existing: ReadonlyMap<string, StoredJob>,
  ): BoundFlows;
}

export interface BoundFlows {
  /** The jobs to store, by `memberName`. */
  readonly placed: Map<string, StoredJob>;
  /** Existing jobs that become children: they got their first parent, or another one. */
  readonly joined: readonly StoredJob[];
  /** Children that have already ended. */
  readonly ended: readonly EndedChild[];
  /** The children of each new parent, by `memberName`. */
  readonly families: ReadonlyMap<StoredJob, readonly string[]>;
}

/** Maximum number of parents that wait for one child. */
const PARENTS_LIMIT = 100;

/**
 * Plans the flows among the jobs of a call of `enqueue`: their order, and the parent of each child.
 *
 * @throws {QuaysideError} `invalid_option` if a name is used twice or unknown, jobs wait for each other in a circle, a
 * tree has too many levels, a parent has too many children, or a dedupe mode would change a job of the tree while it
 * waits.
 */
export function planFlows(jobs: readonly NewJob[]): FlowPlan {
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
  const order = [...new Set(jobs.flatMap((_, index) => lineOf(index, parents)))];
  const anchors = anchorsIn(jobs, parents, order);
  return {
    order,
    parentOf: (index) => parents[index],
    anchorOf: (index) => anchors.get(index),
    bind: (placed, receipts, existing) => bind(jobs, parents, placed, receipts, existing),
  };
}

function anchorsIn(
  jobs: readonly NewJob[],
  parents: readonly (number | undefined)[],
  order: readonly number[],
): ReadonlyMap<number, { readonly index: number; readonly position: number }> {
  const anchors = new Map<number, { readonly index: number; readonly position: number }>();
  const below = new Map<number, number>();
  for (const index of order) {
    let at = parents[index];
    while (at !== undefined && jobs[at]?.id === undefined && !jobs[at]?.dedupe) at = parents[at];
    if (at === undefined) continue;
    const position = below.get(at) ?? 0;
    below.set(at, position + 1);
    anchors.set(index, { index: at, position });
  }
  return anchors;
}

/** Returns the indices of a job and its ancestors, the root first. */
function lineOf(index: number, parents: readonly (number | undefined)[]): readonly number[] {
  const line = [index];
  for (let at = parents[index]; at !== undefined; at = parents[at]) {
    if (line.unshift(at) > LIMITS.flowDepth)
      refuse(
        "flow.parentRef",
        `makes more than ${LIMITS.flowDepth} levels, or a circle of jobs that wait for each other.`,
      );
  }
  return line;
}

function bind(
  jobs: readonly NewJob[],
  parents: readonly (number | undefined)[],
  placed: ReadonlyMap<string, StoredJob>,
  receipts: readonly EnqueueReceipt[],
  existing: ReadonlyMap<string, StoredJob>,
): BoundFlows {
  const byName = new Map(placed);
  const joined = new Map<string, StoredJob>();
  const ended: EndedChild[] = [];
  const nameAt = (index: number): string => JSON.stringify([jobs[index]?.queue, receipts[index]?.id]);
  const children = new Map<string, Set<string>>();
  for (const [index, above] of parents.entries()) {
    if (above === undefined || receipts[above]?.deduplicated) continue;
    const name = nameAt(index);
    const { queue, id } = byName.get(nameAt(above)) as StoredJob;
    const names = children.get(nameAt(above)) ?? new Set();
    // A parent that names the same child twice has it once.
    if (names.has(name)) continue;
    children.set(nameAt(above), names.add(name));
    const parent: Parent = { queue, id, onFailure: jobs[index]?.flow?.onFailure ?? "fail" };
    const child = byName.get(name) ?? joined.get(name) ?? existing.get(name);
    if (!child) cannotWait(name, "has ended, and its outcome is not kept");
    if (child.key[0] === "finished") ended.push({ parent, job: child });
    else (byName.has(name) ? byName : joined).set(name, withParent(child, parent));
  }
  checkAcyclic(children);
  const families = new Map<StoredJob, readonly string[]>();
  for (const [name, names] of children) {
    if (names.size > LIMITS.flowJobs)
      refuse("flow", `has a parent of ${names.size} children; at most ${LIMITS.flowJobs} are allowed.`);
    const job = byName.get(name) as StoredJob;
    const parent: StoredJob = { ...blocked(job, "children", job.id), hasChildren: true };
    byName.set(name, parent);
    families.set(parent, [...names]);
  }
  return { placed: byName, joined: [...joined.values()], ended, families };
}

function withParent(child: StoredJob, parent: Parent): StoredJob {
  const others = (child.otherParents ?? []).filter((one) => memberName(one) !== memberName(parent));
  if (!child.parent || memberName(child.parent) === memberName(parent)) return { ...child, parent };
  if (others.length + 1 >= PARENTS_LIMIT)
    cannotWait(memberName(child), `is waited for by ${PARENTS_LIMIT} parents already`);
  return { ...child, otherParents: [...others, parent] };
}

/**
 * Throws if parents and children form a circle. Removes the jobs for which no parent waits, again and again; jobs that
 * remain are in a circle.
 */
function checkAcyclic(children: ReadonlyMap<string, ReadonlySet<string>>): void {
  const waiting = new Map<string, number>();
  for (const names of children.values()) for (const name of names) waiting.set(name, (waiting.get(name) ?? 0) + 1);
  const free = [...children.keys()].filter((name) => !waiting.has(name));
  for (const parent of free) {
    for (const name of children.get(parent) ?? []) {
      const left = (waiting.get(name) ?? 0) - 1;
      waiting.set(name, left);
      if (left === 0 && children.has(name)) free.push(name);
    }
  }
  if (free.length < children.size) refuse("flow.parentRef", "makes jobs wait for each other in a circle.");
}

function cannotWait(name: string, why: string): never {
  const [queue, id] = JSON.parse(name) as [string, string];
  throw new QuaysideError(
    "child_exists",
    `A child of the flow exists already, as job ${id} of queue ${queue}, and cannot be waited for: it ${why}.`,
    { queue, id },
  );
}

function refuse(option: string, message: string): never {
  throw invalidOption(option, `${option} ${message}`);
}
