import type { NewJob } from "../job/new-job.ts";
import { checkTags } from "../job/options.ts";
import { checkName, checkPathName, childId } from "../job/place.ts";
import type { StoredJob } from "../job/record.ts";
import { AddedKeys, stored } from "./added-keys.ts";
import { forget, locate, place } from "./door.ts";
import { found, settleEnded } from "./families.ts";
import { type FlowPlan, planFlows } from "./flow-plan.ts";
import { setLimits } from "./groups.ts";
import { once } from "./marks.ts";
import { memberName } from "./members.ts";
import type { Program } from "./store.ts";
import type { Turn } from "./turn.ts";
import type { EnqueueReceipt, NumberedRequest } from "./verbs.ts";

/**
 * Stores new jobs, all or none; one receipt a job, in order. Taken ids and dedupe keys answer the job that stands. A
 * numbered request that was done before answers as it did then.
 */
export function* enqueue(
  turn: Turn,
  jobs: readonly NewJob[],
  request?: NumberedRequest,
  admit?: Admit,
): Program<readonly EnqueueReceipt[]> {
  jobs.forEach(checkNames);
  return yield* once(turn, jobs, request, () => add(turn, jobs, admit));
}

/** Throws when these may not be stored. Asked with the jobs that are new, before anything is written. */
export type Admit = (placed: readonly StoredJob[]) => Program<void>;

/** Names become keys (R4), and not every caller is a `Queue` that has checked them. */
export function checkNames({ queue, name, id, dedupe, group, tags }: Omit<NewJob, "payload">): void {
  checkPathName(queue, "queue");
  checkName(name, "name");
  if (id !== undefined) checkPathName(id, "id");
  if (dedupe) checkName(dedupe.key, "dedupe.key");
  if (group) checkName(group.key, "group.key");
  if (tags) checkTags(tags);
}

/** Nothing that stands can be in its way, and it brings nothing but itself: as most jobs, which take the short way. */
const isUnbound = ({ id, dedupe, flow, group }: NewJob): boolean =>
  id === undefined && !dedupe && !flow && group?.limit === undefined;

/** Adds what is not there yet. */
export function* add(turn: Turn, jobs: readonly NewJob[], admit?: Admit): Program<readonly EnqueueReceipt[]> {
  if (jobs.every(isUnbound)) {
    const placed = jobs.map((job) => stored(turn, job));
    if (admit) yield* admit(placed);
    yield* place(turn, placed, true);
    return placed.map(({ id }) => ({ id, deduplicated: false }));
  }
  const plan = planFlows(jobs);
  /** The id of a child without one of its own, below an ancestor that has this one. */
  const idBelow = (index: number, idOf: (anchor: number) => string | undefined): string | undefined => {
    const anchor = plan.anchorOf(index);
    const id = anchor && idOf(anchor.index);
    if (!anchor || id === undefined) return undefined;
    return childId({ queue: (jobs[anchor.index] as NewJob).queue, id }, anchor.position, turn.tagEnd);
  };
  const asked = jobs.flatMap(({ queue, id }, index) => {
    const known = id ?? idBelow(index, (anchor) => jobs[anchor]?.id);
    return known === undefined ? [] : { queue, id: known };
  });
  const taken: Map<string, StoredJob | undefined> = yield* locateAll(asked);
  const keys = new AddedKeys(turn);
  yield* keys.load(jobs);
  const receipts: EnqueueReceipt[] = [];
  const stale: StoredJob[] = [];
  // Parents first: the children of a parent that stands already are not added again.
  for (const index of plan.order) {
    const given = jobs[index] as NewJob;
    const parent = plan.parentOf(index);
    const id = given.id ?? idBelow(index, (anchor) => receipts[anchor]?.id);
    const job = id === undefined ? given : { ...given, id };
    if (parent !== undefined && receipts[parent]?.deduplicated) {
      const held = given.id === undefined ? yield* keys.meet(job) : undefined;
      receipts[index] = held ?? { id: id as string, deduplicated: true };
      continue;
    }
    // The id is not the caller's: what has ended under it belonged to a flow that is gone.
    const before =
      given.id === undefined && id !== undefined ? taken.get(memberName({ queue: job.queue, id })) : undefined;
    if (before?.key[0] === "finished") {
      stale.push(before);
      taken.delete(memberName(before));
    }
    if (id === undefined && !job.dedupe) receipts[index] = keys.add(stored(turn, job));
    else receipts[index] = yield* addKnown(turn, job, taken, keys);
  }
  const flows = plan.bind(keys.placed, receipts, yield* existingChildren(jobs, plan, receipts, keys));
  if (admit) yield* admit(flows.placed);
  yield* forget(turn, stale);
  yield* setLimits(turn, jobs);
  yield* join(turn, flows.joined, keys);
  yield* keys.save();
  yield* place(turn, flows.placed);
  yield* found(flows.families);
  yield* settleEnded(turn, flows.ended);
  return receipts;
}

/** The jobs that were not added because they exist, and which a new parent has as a child. */
function* existingChildren(
  jobs: readonly NewJob[],
  plan: FlowPlan,
  receipts: readonly EnqueueReceipt[],
  keys: AddedKeys,
): Program<ReadonlyMap<string, StoredJob>> {
  const asked = jobs.flatMap(({ queue }, index) => {
    const parent = plan.parentOf(index);
    const { id, deduplicated } = receipts[index] as EnqueueReceipt;
    return parent === undefined || !deduplicated || receipts[parent]?.deduplicated ? [] : { queue, id };
  });
  const existing = yield* locateAll(asked);
  for (const [name, job] of existing) existing.set(name, keys.moved(job) ?? job);
  return existing;
}

/** Stores existing jobs with their new parents. Where one runs, its lease says that it is no plain job any more. */
function* join(turn: Turn, joined: readonly StoredJob[], keys: AddedKeys): Program<void> {
  for (const job of joined) {
    keys.change(job);
    const run = (yield* turn.leases()).holderOf(job.key);
    if (run?.held.plain) (yield* turn.leases()).amend(run.worker, run.held.token, ({ plain: _, ...held }) => held);
  }
}

/** A job with an id of the caller's, or a dedupe key: it may stand already. */
function* addKnown(
  turn: Turn,
  job: NewJob,
  taken: Map<string, StoredJob | undefined>,
  keys: AddedKeys,
): Program<EnqueueReceipt> {
  const { queue, id } = job;
  const name = id !== undefined && memberName({ queue, id });
  if (name && taken.has(name)) return { id, deduplicated: true };
  const receipt = (yield* keys.meet(job)) ?? keys.add(stored(turn, job));
  if (name && !receipt.deduplicated) taken.set(name, undefined);
  return receipt;
}

/** The jobs that exist among these, kept results included, by `memberName`. */
function* locateAll(asked: readonly Pick<StoredJob, "queue" | "id">[]): Program<Map<string, StoredJob>> {
  const found = new Map<string, StoredJob>();
  for (const queue of new Set(asked.map((one) => one.queue))) {
    const ids = asked.filter((one) => one.queue === queue).map(({ id }) => id);
    for (const job of yield* locate(queue, ids)) if (job) found.set(memberName(job), job);
  }
  return found;
}
