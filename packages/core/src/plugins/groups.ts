import { getCell, kind, putCells, removeCells } from "../engine/cells.ts";
import type { ClaimPart, QueueClaim } from "../engine/claim.ts";
import { standsAhead } from "../engine/clock-set-back.ts";
import { moveEachJob } from "../engine/job-writer.ts";
import type { Plugin, Plugins } from "../engine/plugin.ts";
import type { Program } from "../engine/store.ts";
import { compareKeys, done, get, scan, scanKeys, startingWith, together } from "../engine/store-operations.ts";
import type { Transaction } from "../engine/transaction.ts";
import { blockedLane, blockOf, checkName, keyText, queueOf, readyLane, sameKey } from "../job/job-keys.ts";
import type { JobDefaults, OptionParsers } from "../job/job-options.ts";
import type { JobKey, StoredJob, StoredOptions } from "../job/job-record.ts";
import * as LIMITS from "../job/limits.ts";
import { fields, integer } from "../job/option-checks.ts";
import { again, blocked, isUndelayed, returned } from "../job/transitions.ts";

/** Parser of the job option `group`. */
export const GROUP_OPTIONS: OptionParsers = {
  group(option: NonNullable<JobDefaults["group"]>): Pick<StoredOptions, "group"> {
    const { key, limit } = fields(option, "group", ["key", "limit"], "group.");
    checkName(key, "group.key");
    if (limit !== undefined) integer(limit, 1, LIMITS.groupLimit, "group.limit");
    return { group: { key, ...(limit !== undefined && { limit }) } };
  },
};

/** Groups (R16): at most `limit` jobs with the same group key run at once, over all workers. */
export const groups: Plugin = {
  name: "groups",
  options: GROUP_OPTIONS,
  fields: ["group"],
  quietCells: ["group"],
  marks: (job) => job.group !== undefined,
  check: ({ group }) => void (group && checkName(group.key, "group.key")),
  accepted: setLimits,
  placing: seat,
  leaving(tx, job, next) {
    if (!job.group) return;
    const sameGroup = next?.group?.key === job.group.key;
    if (next && sameGroup && (job.key[0] !== "ready" || sameKey(job.key, next.key))) return;
    note(tx, job, false);
    room(groupOf(tx, job.queue, job.group.key));
  },
  attemptsEnded(tx, attempts) {
    for (const { key, group } of attempts) if (group !== undefined) room(groupOf(tx, queueOf(key), group), key);
    return done(undefined);
  },
  *effects(tx) {
    const groups = [...groupsIn(tx).values()].filter(({ freed }) => freed);
    if (groups.length > 0) yield* returnToRoom(tx, groups);
    return groups.length > 0;
  },
  flush,
  prepare: suspectNext,
  claiming: claimOf,
  held: ({ group }) => group && { group: group.key },
};

/**
 * A group's state in this transaction (R16). A ready job of a group needs a seat, which it has until it leaves its
 * place; the first blocked jobs get the next free seats. A delayed job has a seat only while it runs, or after it
 * waited for one. The stored record lists the seats of ready jobs by key, which can be checked (see `check`); leases
 * list those of running jobs.
 */
export interface Group {
  readonly queue: string;
  readonly key: string;
  limit: number;
  /** The stored record; absent: not read yet. */
  cell?: GroupCell;
  /** Seats that changed in this transaction, by `keyText`: the new job's key; undefined: a job left the seat. */
  readonly places: Map<string, JobKey | undefined>;
  /** Present: the group may have free seats. The keys of its jobs that no longer run. */
  freed?: JobKey[] | undefined;
  /** Whether its seats must be checked. */
  suspect?: boolean;
}

/** The stored record of a group: a limit other than 1, and the keys of its ready jobs. */
export interface GroupCell {
  readonly limit?: number;
  readonly seats?: readonly JobKey[];
}

/** The groups of a queue, by their keys. */
const cellsOf = (queue: string) => kind<GroupCell>("group", queue);

/** Maximum number of a group's ready jobs, whatever its limit, so that its record stays small. */
export const SEATS = 256;
/** Number of seats that one check reads, oldest first, so that it reaches the seats of deleted jobs. */
const CHECK_STEP = 16;

type Grouped = Pick<StoredJob, "queue" | "group">;

/** The groups in each transaction, by queue and key. */
const GROUPS = new WeakMap<Transaction, Map<string, Group>>();

const groupsIn = (tx: Transaction): ReadonlyMap<string, Group> => GROUPS.get(tx) ?? new Map();

function groupOf(tx: Transaction, queue: string, key: string): Group {
  const groups = GROUPS.get(tx) ?? new Map<string, Group>();
  GROUPS.set(tx, groups);
  const name = JSON.stringify([queue, key]);
  const group = groups.get(name) ?? { queue, key, limit: 1, places: new Map() };
  groups.set(name, group);
  return group;
}

/** Reads the groups of these jobs in one step. */
function* groupsOf<J extends Grouped>(tx: Transaction, jobs: readonly J[]): Program<Map<J, Group>> {
  const groups = new Map<J, Group>();
  for (const job of jobs) if (job.group) groups.set(job, groupOf(tx, job.queue, job.group.key));
  yield* together(...[...new Set(groups.values())].map(open));
  return groups;
}

function* open(group: Group): Program<void> {
  if (group.cell) return;
  group.cell = (yield* getCell(cellsOf(group.queue), group.key)) ?? {};
  group.limit = group.cell.limit ?? 1;
}

interface Seats {
  /** The keys of ready jobs with a seat, by `keyText`. Some of them run. */
  readonly line: ReadonlyMap<string, JobKey>;
  readonly running: ReadonlySet<string>;
  /** The ready jobs that do not run, and the maximum number of them. */
  readonly waiting: readonly JobKey[];
  readonly room: number;
}

/** Returns the seats of a group, with the changes of this transaction. */
function* seatsOf(tx: Transaction, { queue, key, limit, cell, places }: Group): Program<Seats> {
  const line = new Map(cell?.seats?.map((at) => [keyText(at), at]));
  const running = new Set<string>();
  for (const held of (yield* tx.leases()).heldOf(queue)) if (held.group === key) running.add(keyText(held.key));
  for (const [place, at] of places) {
    if (at) line.set(place, at);
    else {
      line.delete(place);
      running.delete(place);
    }
  }
  const waiting = [...line].flatMap(([place, at]) => (running.has(place) ? [] : [at]));
  return { line, running, waiting, room: Math.min(SEATS, limit - running.size) };
}

/** Records that a job took or left a seat. */
function note(tx: Transaction, { queue, group, key }: Grouped & Pick<StoredJob, "key">, taken: boolean): void {
  if (group && key[0] === "ready") groupOf(tx, queue, group.key).places.set(keyText(key), taken ? key : undefined);
}

/** Records that a group may have free seats. `freed`: the key of a job that no longer runs. */
function room(group: Group, freed?: JobKey): void {
  group.freed ??= [];
  if (freed) group.freed.push(freed);
}

/** Stores the limits that new jobs set. A higher limit may free seats (see `Group`). */
function* setLimits(tx: Transaction, jobs: readonly Grouped[]): Program<void> {
  const setting = jobs.filter((job) => job.group?.limit);
  for (const [job, group] of yield* groupsOf(tx, setting)) {
    const { limit = 1 } = job.group ?? {};
    if (group.limit !== limit) room(group);
    group.limit = limit;
  }
}

/**
 * Gives jobs that become ready the free seats of their groups, or the seat of a later ready job (R15). Blocks the rest.
 */
function* seat(tx: Transaction, jobs: readonly StoredJob[], isNew: boolean): Program<readonly StoredJob[]> {
  const coming = new Map<Group, Map<string, StoredJob>>();
  for (const job of jobs) {
    if (!job.group || job.key[0] !== "ready" || (isNew && !isUndelayed(job.key))) continue;
    const group = groupOf(tx, job.queue, job.group.key);
    const place = keyText(job.key);
    if (!group.places.get(place)) coming.set(group, (coming.get(group) ?? new Map()).set(place, job));
  }
  if (coming.size === 0) return jobs;
  const crowded = new Set<Group>();
  function* lookBehind(group: Group): Program<void> {
    if ((yield* scanKeys("jobs", laneOf(group), 1)).length > 0) crowded.add(group);
  }
  yield* together(tx.leases(), ...[...coming.keys()].flatMap((group) => [open(group), lookBehind(group)]));
  const aside = new Set<StoredJob>();
  for (const [group, mine] of coming) {
    const { line, running, waiting, room } = yield* seatsOf(tx, group);
    const added = [...mine].flatMap(([place, { key }]) =>
      isUndelayed(key) && !line.has(place) && !running.has(place) ? [key] : [],
    );
    const first = [...waiting, ...added].sort(compareKeys);
    const late = first.splice(Math.max(waiting.length, crowded.has(group) ? 0 : room));
    if (late.length > 0) suspect(group);
    if (added.length > 0) for (const at of first) group.places.set(keyText(at), at);
    for (const at of late) group.places.set(keyText(at), undefined);
    const refused = late.map((at) => mine.get(keyText(at)));
    for (const job of refused) if (job) aside.add(job);
    const displaced = late.filter((_, index) => !refused[index]);
    for (const job of yield* get("jobs", displaced)) if (job) yield* moveEachJob(tx, [job], toBlocked);
  }
  return aside.size > 0 ? jobs.map((job) => (aside.has(job) ? toBlocked(job) : job)) : jobs;
}

const toBlocked = (job: StoredJob): StoredJob => blocked(job, "group", job.group?.key as string);
const laneOf = ({ queue, key }: Group) => startingWith("blocked", blockedLane(queue, "group", key));

/** Marks the seats of a group to be checked before the transaction ends. */
function suspect(group: Group): void {
  group.suspect = true;
  room(group);
}

/** For each driver and queue, the lane of the blocked jobs of the group that is checked next. */
const CURSORS = new WeakMap<Plugins, Map<string, string | undefined>>();

/** Checks the next group with blocked jobs, one per exchange: seats of deleted jobs could block it for ever. */
function* suspectNext(tx: Transaction, queue: string): Program<void> {
  const lane = `${readyLane(queue)}/group`;
  // "0" is the next character after "/".
  const cursors = CURSORS.get(tx.plugins) ?? new Map<string, string | undefined>();
  CURSORS.set(tx.plugins, cursors);
  const range = { from: ["blocked", cursors.get(queue) ?? `${lane}/`], to: ["blocked", `${lane}0`] };
  const [at] = yield* scanKeys("jobs", range, 1);
  cursors.set(queue, at && `${at[1]}\u0001`);
  if (at) suspect(groupOf(tx, queue, (blockOf(at) as [string, string])[1]));
}

/** Gives free seats to blocked jobs, which return to their previous positions (R16). */
function* returnToRoom(tx: Transaction, groups: readonly Group[]): Program<void> {
  const freed = groups.flatMap(({ freed = [], places }) => freed.filter((at) => !places.has(keyText(at))));
  for (const group of groups) group.freed = undefined;
  // A job that was released without moving is ready again.
  for (const job of yield* get("jobs", freed)) if (job) note(tx, job, true);
  let left = SEATS;
  for (const group of groups) {
    yield* open(group);
    if (group.suspect) yield* check(tx, group);
    const { waiting, room } = yield* seatsOf(tx, group);
    // At least one job per group, whose end then frees the remaining seats.
    const jobs = yield* scan("jobs", laneOf(group), Math.min(room - waiting.length, Math.max(1, left)));
    left -= jobs.length;
    yield* moveEachJob(tx, jobs, (job) => {
      // It was due when it was blocked. After the clock was set back, its position may be far in the future.
      const ready = standsAhead(job.key, tx.now) ? again(job, tx.nextPosition()) : returned(job);
      note(tx, ready, true);
      return ready;
    });
  }
}

/** Removes the seats of jobs that no longer exist: damaged records, or jobs deleted by older code. */
function* check(tx: Transaction, group: Group): Program<void> {
  group.suspect = false;
  const waiting = (yield* seatsOf(tx, group)).waiting.slice(0, CHECK_STEP);
  const jobs = yield* get("jobs", waiting);
  for (const [index, at] of waiting.entries())
    if (jobs[index]?.group?.key !== group.key) group.places.set(keyText(at), undefined);
}

/** Writes the changed records. Keeps the seats of running jobs: removing one would cost a write per claim. */
function* flush(tx: Transaction): Program<void> {
  for (const group of groupsIn(tx).values()) {
    if (group.places.size > 0) yield* open(group);
    const { queue, key, limit, cell: { limit: stored = 1, seats: before = [] } = {} } = group;
    const { line, running } = yield* seatsOf(tx, group);
    const seats = [...line].flatMap(([place, at]) =>
      !running.has(place) || (limit <= SEATS && before.includes(at)) ? [at] : [],
    );
    if (limit === stored && JSON.stringify(seats) === JSON.stringify(before)) continue;
    if (limit === 1 && seats.length === 0) yield* removeCells(cellsOf(queue), [key]);
    else yield* putCells(cellsOf(queue), [[key, { limit, seats }]]);
  }
}

/** Keeps jobs of full groups out of a claim. */
function* claimOf({ tx, queue }: QueueClaim): Program<ClaimPart> {
  let groups = new Map<StoredJob, Group>();
  /** Number of running jobs of each group. */
  const running = new Map<string, number>();
  const count = (key: string) => running.set(key, (running.get(key) ?? 0) + 1);
  for (const { group } of (yield* tx.leases()).heldOf(queue)) if (group !== undefined) count(group);
  return {
    *read(page) {
      groups = yield* groupsOf(tx, page);
    },
    takes(job) {
      const group = groups.get(job);
      return !group || (running.get(group.key) ?? 0) < group.limit;
    },
    // A job that is held for later would take room from others.
    startsOnly: ({ group }) => group !== undefined,
    taken(job) {
      const group = groups.get(job);
      if (group) count(group.key);
      if (group && group.limit > SEATS) room(group);
    },
    finish: (_, aside) => moveEachJob(tx, aside, toBlocked),
  };
}
