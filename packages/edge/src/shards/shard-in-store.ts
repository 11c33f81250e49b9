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
 * One shard of a split queue, in its store. The caller that adds decides by a hash to which shard a job goes;
 * the shard remembers by how many shards that was, so that two who reckon with different numbers cannot add one key in
 * two places: once it has stored a new number, it refuses what was routed by another.
 */

/** By what its sender routes: over `count` shards, after having routed over `previous`. */
export interface ShardLayout {
  readonly count: number;
  readonly previous?: number;
  /** Some jobs are routed by keys that the application makes up: where they belong, the shard cannot tell. */
  readonly custom?: true;
}

/** Of queues of which this store is a shard, by queue. */
const LAYOUTS = kind<ShardLayout>("shards");

/** Settings that a shard takes over from the queue's first shard when the queue comes to it. */
export type ShardSettings = Pick<StoredSettings, "paused" | "keep" | "rateLimit" | "maxActive">;

/** A queue's settings in a shard, and by what its jobs there were routed. `count: 1`: they are of a queue that was whole. */
export type ShardStanding = ShardSettings & Partial<Pick<ShardLayout, "count" | "previous">>;

export interface ShardAdd {
  readonly jobs: readonly NewJob[];
  readonly request?: NumberedRequest | undefined;
  readonly layout: ShardLayout;
  /** Queues that come to this shard without a job yet. */
  readonly queues?: readonly string[];
  /** By queue. Without those of a queue that is new here, the shard asks for them. */
  readonly settings?: Readonly<Record<string, ShardSettings>>;
  /**
   * For each job which unit it belongs to: units of whose keys (id, dedupe key, group) none is held here are not added,
   * and answered with `NOT_HELD`. A key that is free here stays so: it is added here only in this way.
   */
  readonly units?: readonly number[];
  /** Of the keys of a unit only its ids count. */
  readonly byId?: boolean;
}

/**
 * Done (`told`: queues whose number this shard had not stored before); or the number of shards that replaced the sender's; or
 * another number, of which the sender does not say that it was its own before; or the queues whose settings this shard needs first.
 */
export type ShardAdded =
  | { readonly receipts: readonly EnqueueReceipt[]; readonly told?: readonly string[] }
  | { readonly count: number }
  | { readonly other: number; readonly queue: string }
  | { readonly wants: readonly string[] };

/** In place of a receipt: no key of its unit is held here. No job has an empty id. */
export const NOT_HELD: EnqueueReceipt = { id: "", deduplicated: false };

/** The groups that have live jobs in a shard, as far as anybody remembers: see `liveGroups`. */
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

/** Takes note of the layout and, where the queue is new here, of its settings; else says what is in the way. */
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
    // A setting that was made here since is newer.
    const merged = { ...given, ...standing, ...(standing?.keep && { keep: { ...given.keep, ...standing.keep } }) };
    if (Object.keys(given).length > 0) yield* tx.configure(queue, merged);
  }
  const next = { count, ...(previous !== undefined && { previous }), ...(custom && { custom }) };
  yield* putCells(LAYOUTS, [[queue, next]]);
  return "told";
}

/** Finds why jobs may not be routed over `count` shards, after `previous`; the queue is split otherwise already. */
export function conflictOf(
  known: Pick<ShardLayout, "count" | "previous">,
  count: number,
  previous: number | undefined,
): { readonly count: number } | { readonly other: number } | undefined {
  if (known.count === count || known.count === previous) return undefined;
  // The sender is of a version from before the last change.
  return known.previous === count ? { count: known.count } : { other: known.count };
}

/** Numbers of different layouts are kept apart: their requests were cut into other parts. */
const marksOf = (count: number, part?: "held" | "id"): CellKind<Mark> =>
  count === 1 && !part ? kind<Mark>("mark") : kind<Mark>("mark", `${count}`, ...(part ? [part] : []));

/** Returns the outcome of the part of a numbered request that a layout of `count` shards put here; undefined: none yet. */
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

/** @param groups absent where the id alone counts. */
function* isHeld(
  tx: Transaction,
  { queue, id, dedupe, group }: NewJob,
  groups: GroupsKnown | undefined,
): Program<boolean> {
  if (id !== undefined && (yield* locate(queue, [id]))[0]) return true;
  if (!groups) return false;
  if (dedupe) {
    const [record] = yield* get("dedupe", [dedupeKey(queue, dedupe.key)]);
    if (record && isTaken(record, tx.now)) return true;
  }
  return group !== undefined && (yield* groups(tx, queue)).has(group.key);
}

/** Records that one step of the look for live groups reads. */
const STEP = 1_000;

/** Where the look for live groups goes on: in the line of a queue, then beside it. */
export interface GroupsStep {
  readonly range: number;
  readonly from?: Key;
}

/**
 * The groups that have a job in line here, running or waiting. Reads the whole line, because no record lists them: a job
 * that a claim has not met yet is in line like any other.
 */
export function* liveGroups(queue: string): Program<Set<string>> {
  const groups = new Set<string>();
  for (let step: GroupsStep | undefined = { range: 0 }; step; step = yield* readGroups(queue, step, groups));
  return groups;
}

/** One step of it, of a bounded number of records; answers where to go on. */
export function* readGroups(
  queue: string,
  { range, from }: GroupsStep,
  groups: Set<string>,
): Program<GroupsStep | undefined> {
  const ranges = [startingWith("ready", readyLane(queue)), blockedLanes(queue)];
  const of = ranges[range];
  if (!of) return undefined;
  const page: readonly { readonly key: Key; readonly group?: NewJob["group"] }[] = yield* scan(
    "jobs",
    { from: from ?? of.from, to: of.to },
    STEP,
  );
  for (const { group } of page) if (group) groups.add(group.key);
  const last = page[STEP - 1];
  return last ? { range, from: after(last.key) } : { range: range + 1 };
}

/** Returns the settings that the shards that a queue grows into take over. */
export function* shardSettings(tx: Transaction, queue: string): Program<ShardStanding> {
  const { blockedNames: _, ...settings } = yield* tx.settings(queue);
  const layout = yield* getCell(LAYOUTS, queue);
  if (layout) return { ...settings, count: layout.count, ...(layout.previous && { previous: layout.previous }) };
  for (const lane of [startingWith("ready", readyLane(queue)), blockedLanes(queue)])
    if ((yield* scan("jobs", lane, 1)).length > 0) return { ...settings, count: 1 };
  return settings;
}

/**
 * An add by a caller without shards.
 *
 * @param check throws for a job that has a key of another shard, as its queue is said to be routed: else the key would
 * be held in two places.
 * @param work the add itself.
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
