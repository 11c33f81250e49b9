import type { NewJob } from "../job/new-job.ts";
import { checkTags } from "../job/options.ts";
import { checkName } from "../job/place.ts";
import type { StoredJob } from "../job/record.ts";
import { readyStored } from "../job/transitions.ts";
import { AddedKeys } from "./added-keys.ts";
import { locate, move, place } from "./door.ts";
import { found } from "./families.ts";
import { planFlows } from "./flow-plan.ts";
import { setLimits } from "./groups.ts";
import { once } from "./marks.ts";
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
  const taken = yield* takenIds(jobs);
  const keys = new AddedKeys(turn);
  yield* keys.load(jobs);
  const receipts: EnqueueReceipt[] = [];
  // Parents first: the children of a parent that stands already are not added again.
  for (const index of plan.order) {
    const job = jobs[index] as NewJob;
    const parent = plan.parentOf(index);
    const elder = parent === undefined ? undefined : receipts[parent];
    if (elder?.deduplicated) receipts[index] = { id: job.id ?? elder.id, deduplicated: true };
    else if (job.id === undefined && !job.dedupe) receipts[index] = keys.add(stored(turn, job));
    else receipts[index] = yield* addKnown(turn, job, taken, keys);
  }
  const { placed, families } = plan.bind(keys.placed, receipts);
  if (admit) yield* admit(placed);
  yield* place(turn, placed);
  yield* move(turn, keys.moves);
  yield* keys.save();
  yield* setLimits(turn, jobs);
  yield* found(families);
  return receipts;
}

const stored = (turn: Turn, job: NewJob): StoredJob => readyStored(job, turn.stand(job.delayMs), turn.now);

/** A job with an id of the caller's, or a dedupe key: it may stand already. */
function* addKnown(turn: Turn, job: NewJob, taken: Set<string>, keys: AddedKeys): Program<EnqueueReceipt> {
  if (job.id !== undefined && taken.has(scoped(job.queue, job.id))) return { id: job.id, deduplicated: true };
  const receipt = (yield* keys.meet(job)) ?? keys.add(stored(turn, job));
  if (job.id !== undefined && !receipt.deduplicated) taken.add(scoped(job.queue, job.id));
  return receipt;
}

/** One string for both, whatever characters they hold. */
const scoped = (queue: string, name: string): string => `${queue.length} ${queue}${name}`;

/** The callers' own ids that stand already, kept results included. */
function* takenIds(jobs: readonly NewJob[]): Program<Set<string>> {
  const asked = new Map<string, string[]>();
  for (const { queue, id } of jobs) if (id !== undefined) asked.set(queue, [...(asked.get(queue) ?? []), id]);
  const taken = new Set<string>();
  for (const [queue, ids] of asked) {
    for (const job of yield* locate(queue, ids)) if (job) taken.add(scoped(queue, job.id));
  }
  return taken;
}
