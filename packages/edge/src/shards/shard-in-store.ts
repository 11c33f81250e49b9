import {
  addJobs,
  after,
  blockedLanes,
  type CellKind,
  checkNames,
  dedupeKey,
  type EnqueueReceipt,
  findOutcome,
  get,
  getCell,
  isTaken,
  type Key,
  kind,
  locate,
  type Mark,
  type NewJob,
  type NumberedRequest,
  type Program,
  putCells,
  readyLane,
  runOnce,
  type StoredSettings,
  scan,
  startingWith,
  type Transaction,
} from "@quayside/core/engine";

/**
 * One shard of a split queue in its store. The caller chooses the shard by a hash; the shard stores the number of
 * shards that the caller used. Once it has stored a new number, it refuses calls with another, so that callers with
 * different numbers cannot add the same key in two shards.
 */

/** The layout that a caller used: the number of shards (`count`) and the number before the last change (`previous`). */
export interface ShardLayout {
  readonly count: number;
  readonly previous?: number | undefined;
  /** Whether `keyOf` decides the shard of some jobs, so that the shard itself cannot tell where they belong. */
  readonly custom?: true | undefined;
}

/** The layout of each queue of which this store is a shard. */
const LAYOUTS = kind<ShardLayout>("shards");

/** Settings that a shard copies from the first shard when the queue is new to it. */
export type ShardSettings = Pick<StoredSettings, "paused" | "keep" | "rateLimit" | "maxActive" | "maxWaiting">;

/** A queue's settings and its layout, as a shard has stored them. `count: 1`: the queue was not split. */
export type ShardStanding = ShardSettings & Partial<Pick<ShardLayout, "count" | "previous">>;

export interface ShardAdd {
  readonly jobs: readonly NewJob[];
  readonly request?: NumberedRequest | undefined;
  readonly layout: ShardLayout;
  /** Queues that are new to this shard and of which the call has no job. */
  readonly queues?: readonly string[] | undefined;
  /** Settings to copy, by queue. If a new queue's settings are missing, the shard requests them (`wants`). */
  readonly settings?: Readonly<Record<string, ShardSettings>> | undefined;
  /**
   * For each job, the number of its unit: jobs that must go to the same shard. A unit is added only if this shard has a
   * job with one of the unit's keys (id, dedupe key, group). Otherwise the receipts of its jobs are `NOT_HELD`.
   */
  readonly units?: readonly number[] | undefined;
  /** Whether only the ids of a unit count for `units`, not its other keys. */
  readonly byId?: boolean | undefined;
}

/**
 * The outcome of `addToShard`: receipts (`told`: queues whose layout was new to this shard); the shard's newer number
 * of shards; another number, which conflicts with the caller's; or the queues whose settings the shard needs.
 */
export type ShardAdded =
  | { readonly receipts: readonly EnqueueReceipt[]; readonly told?: readonly string[] | undefined }
  | { readonly count: number }
  | { readonly other: number; readonly queue: string }
  | { readonly wants: readonly string[] };

/**
 * Receipt of a job that was not added, because the shard has no job with a key of its unit. No stored job has an empty
 * id.
 */
export const NOT_HELD: EnqueueReceipt = { id: "", deduplicated: false };

/** Returns the groups that have jobs in a shard, from a cache if possible: see `liveGroups`. */
export type GroupsKnown = (tx: Transaction, queue: string) => Program<Set<string>>;

export function* addToShard(tx: Transaction, ask: ShardAdd, groups: GroupsKnown): Program<ShardAdded> {
  const { jobs, layout, units, byId = false } = ask;
  const told: string[] = [];
  for (const job of jobs) checkNames(tx.plugins, job);
  for (const queue of new Set([...(ask.queues ?? []), ...jobs.map((job) => job.queue)])) {
    const answer = yield* agree(tx, queue, ask);
    if (answer === "told") told.push(queue);
    else if (answer) return answer;
  }
  const work = units ? () => addHeld(tx, jobs, units, byId ? undefined : groups) : () => addJobs(tx, jobs);
  const receipts = yield* runOnce(tx, jobs, ask.request, work, marksOf(layout.count, units && (byId ? "id" : "held")));
  return told.length > 0 ? { receipts, told } : { receipts };
}

/**
 * Stores the layout and the settings of a queue that is new to the shard. Returns the conflict if there is one, or
 * `told` if the layout was stored.
 */
function* agree(
  tx: Transaction,
  queue: string,
  { layout: { count, previous, custom }, settings }: ShardAdd,
): Program<ShardAdded | "told" | undefined> {
  const known = yield* getCell(LAYOUTS, queue);
  if (known?.count === count && (known.custom === true || !custom)) return undefined;
  const conflict = known ? conflictOf(known, count, previous) : undefined;
  if (conflict) return "other" in conflict ? { ...conflict, queue } : conflict;
  if (!known) {
    const given = settings?.[queue];
    if (!given) return { wants: [queue] };
    const standing = yield* tx.settings(queue);
    // A setting made in this shard is newer.
    const merged = { ...given, ...standing, ...(standing?.keep && { keep: { ...given.keep, ...standing.keep } }) };
    if (Object.keys(given).length > 0) yield* tx.configure(queue, merged);
  }
  const next = { count, ...(previous !== undefined && { previous }), ...(custom && { custom }) };
  yield* putCells(LAYOUTS, [[queue, next]]);
  return "told";
}

/** Compares a caller's layout with the stored one (`known`). Returns undefined if they do not conflict. */
export function conflictOf(
  known: Pick<ShardLayout, "count" | "previous">,
  count: number,
  previous: number | undefined,
): { readonly count: number } | { readonly other: number } | undefined {
  if (known.count === count || known.count === previous) return undefined;
  // The caller has a version from before the last change.
  return known.previous === count ? { count: known.count } : { other: known.count };
}

/**
 * Returns the kind of idempotency record for a number of shards. Requests under different numbers are divided
 * differently, so their records are separate.
 */
const marksOf = (count: number, part?: "held" | "id"): CellKind<Mark> =>
  count === 1 && !part ? kind<Mark>("mark") : kind<Mark>("mark", `${count}`, ...(part ? [part] : []));

/**
 * Returns the receipts of a numbered request's part in this shard, as stored when the queue had `count` shards;
 * undefined if the part was not stored.
 */
export function* recallInShard(
  tx: Transaction,
  jobs: readonly NewJob[],
  request: NumberedRequest,
  count: number,
): Program<readonly EnqueueReceipt[] | undefined> {
  return (yield* findOutcome(tx, jobs, request, marksOf(count))).receipts;
}

function* addHeld(
  tx: Transaction,
  jobs: readonly NewJob[],
  units: readonly number[],
  groups: GroupsKnown | undefined,
): Program<readonly EnqueueReceipt[]> {
  const held = new Set<number>();
  for (const [index, job] of jobs.entries()) {
    const unit = units[index] as number;
    if (!held.has(unit) && (yield* isHeld(tx, job, groups))) held.add(unit);
  }
  const here = [...jobs.keys()].filter((index) => held.has(units[index] as number));
  const receipts = yield* addJobs(
    tx,
    here.map((index) => jobs[index] as NewJob),
  );
  for (const index of here) {
    const { queue, group } = jobs[index] as NewJob;
    if (group && groups) (yield* groups(tx, queue)).add(group.key);
  }
  const all = jobs.map(() => NOT_HELD);
  for (const [at, index] of here.entries()) all[index] = receipts[at] as EnqueueReceipt;
  return all;
}

/**
 * Returns whether this shard has a job with the id, dedupe key or group of the given job.
 *
 * @param groups returns the groups in this shard; absent if only the id counts.
 */
function* isHeld(
  tx: Transaction,
  { queue, id, dedupe, group }: NewJob,
  groups: GroupsKnown | undefined,
): Program<boolean> {
  if (id !== undefined && (yield* locate([{ queue, id }]))[0]) return true;
  if (!groups) return false;
  if (dedupe) {
    const [record] = yield* get("dedupe", [dedupeKey(queue, dedupe.key)]);
    if (record && isTaken(record, tx.now)) return true;
  }
  return group !== undefined && (yield* groups(tx, queue)).has(group.key);
}

/** Maximum number of records that one step of `readGroups` reads. */
const STEP = 1_000;

/** Where `readGroups` continues: the number of the key range, and the key in it. */
export interface GroupsStep {
  readonly range: number;
  readonly from?: Key | undefined;
}

/**
 * Returns the groups that have a waiting or running job in this shard. Reads all of the queue's live jobs, because no
 * record lists the groups.
 */
export function* liveGroups(queue: string): Program<Set<string>> {
  const groups = new Set<string>();
  for (let step: GroupsStep | undefined = { range: 0 }; step; step = yield* readGroups(queue, step, groups));
  return groups;
}

/** Reads some jobs of a queue and adds their groups to `groups`. Returns where to continue, or undefined at the end. */
export function* readGroups(
  queue: string,
  { range, from }: GroupsStep,
  groups: Set<string>,
): Program<GroupsStep | undefined> {
  const ranges = [startingWith("ready", readyLane(queue)), blockedLanes(queue)];
  const of = ranges[range];
  if (!of) return undefined;
  const page: readonly { readonly key: Key; readonly group?: NewJob["group"] | undefined }[] = yield* scan(
    "jobs",
    { from: from ?? of.from, to: of.to },
    STEP,
  );
  for (const { group } of page) if (group) groups.add(group.key);
  const last = page[STEP - 1];
  return last ? { range, from: after(last.key) } : { range: range + 1 };
}

/** Returns the settings that new shards of a queue copy. */
export function* shardSettings(tx: Transaction, queue: string): Program<ShardStanding> {
  const { blockedNames: _, ...settings } = yield* tx.settings(queue);
  const layout = yield* getCell(LAYOUTS, queue);
  if (layout) return { ...settings, count: layout.count, ...(layout.previous && { previous: layout.previous }) };
  for (const lane of [startingWith("ready", readyLane(queue)), blockedLanes(queue)])
    if ((yield* scan("jobs", lane, 1)).length > 0) return { ...settings, count: 1 };
  return settings;
}

/**
 * Adds jobs of a caller that does not choose shards itself.
 *
 * @param check throws for a job that belongs to another shard.
 * @param work adds the jobs.
 */
export function* unrouted<T>(
  jobs: readonly NewJob[],
  check: (job: NewJob, shards: ShardLayout) => void,
  work: () => Program<T>,
): Program<T> {
  const keyed = jobs.filter(({ id, dedupe, group }) => id !== undefined || dedupe || group);
  for (const queue of new Set(keyed.map((job) => job.queue))) {
    const shards = yield* getCell(LAYOUTS, queue);
    if (!shards) continue;
    for (const job of keyed) if (job.queue === queue) check(job, shards);
  }
  return yield* work();
}
