import type { NewJob } from "../job/new-job.ts";
import { checkTags } from "../job/options.ts";
import { checkName, childId } from "../job/place.ts";
import type { StoredJob } from "../job/record.ts";
import { readyStored } from "../job/transitions.ts";
import { AddedKeys } from "./added-keys.ts";
import { forget, locate, move, place } from "./door.ts";
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
  checkName(queue, "queue");
  checkName(name, "name");
  if (id !== undefined) checkName(id, "id");
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
    yield* place(turn, placed, []);
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
  const ids = jobs.map(({ id }, index) => id ?? idBelow(index, (anchor) => jobs[anchor]?.id));
  const taken = yield* takenIds(jobs, ids);
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
    const before = given.id === undefined && id !== undefined ? taken.get(scoped(job.queue, id)) : undefined;
    if (before?.key[0] === "finished") {
      stale.push(before);
      taken.delete(scoped(job.queue, before.id));
    }
    if (id === undefined && !job.dedupe) receipts[index] = keys.add(stored(turn, job));
    else receipts[index] = yield* addKnown(turn, job, taken, keys);
  }
  const flows = plan.bind(keys.placed, receipts, yield* existingChildren(jobs, plan, receipts, keys));
  if (admit) yield* admit(flows.placed);
  yield* forget(turn, stale);
  yield* place(turn, flows.placed);
  yield* join(turn, flows.joined, keys);
  yield* move(turn, keys.moves);
  yield* keys.save();
  yield* setLimits(turn, jobs);
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
  const existing = new Map<string, StoredJob>();
  const asked = new Map<string, Set<string>>();
  for (const [index, { queue }] of jobs.entries()) {
    const parent = plan.parentOf(index);
    const { id, deduplicated } = receipts[index] as EnqueueReceipt;
    if (parent === undefined || !deduplicated || receipts[parent]?.deduplicated) continue;
    asked.set(queue, (asked.get(queue) ?? new Set()).add(id));
  }
  for (const [queue, ids] of asked)
    for (const job of yield* locate(queue, [...ids])) if (job) existing.set(memberName(job), keys.moved(job) ?? job);
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

const stored = (turn: Turn, job: NewJob): StoredJob => readyStored(job, turn.stand(job.delayMs), turn.now);

/** A job with an id of the caller's, or a dedupe key: it may stand already. */
function* addKnown(
  turn: Turn,
  job: NewJob,
  taken: Map<string, StoredJob | undefined>,
  keys: AddedKeys,
): Program<EnqueueReceipt> {
  if (job.id !== undefined && taken.has(scoped(job.queue, job.id))) return { id: job.id, deduplicated: true };
  const receipt = (yield* keys.meet(job)) ?? keys.add(stored(turn, job));
  if (job.id !== undefined && !receipt.deduplicated) taken.set(scoped(job.queue, job.id), undefined);
  return receipt;
}

/** One string for both, whatever characters they hold. */
const scoped = (queue: string, name: string): string => `${queue.length} ${queue}${name}`;

/** Finds which of these ids are taken, kept results included. */
function* takenIds(
  jobs: readonly NewJob[],
  ids: readonly (string | undefined)[],
): Program<Map<string, StoredJob | undefined>> {
  const asked = new Map<string, string[]>();
  for (const [index, { queue }] of jobs.entries()) {
    const id = ids[index];
    if (id !== undefined) asked.set(queue, [...(asked.get(queue) ?? []), id]);
  }
  const taken = new Map<string, StoredJob | undefined>();
  for (const [queue, names] of asked) {
    for (const job of yield* locate(queue, names)) if (job) taken.set(scoped(queue, job.id), job);
  }
  return taken;
}
