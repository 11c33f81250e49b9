import { getCell, kind, putCells, removeCells } from "../engine/cells.ts";
import type { Program } from "../engine/store.ts";
import { together } from "../engine/store-operations.ts";
import type { Transaction } from "../engine/transaction.ts";
import { keyText } from "../job/job-keys.ts";
import type { JobKey, StoredJob } from "../job/job-record.ts";

/**
 * A group's state in this transaction (R16). A job of a group needs a seat to be ready, and a group has at most `limit`
 * seats. A job has its seat until it leaves its place (by ending or moving); then the first blocked job gets the seat. A
 * delayed job has a seat only while it runs, or after it waited for one. The stored record lists the seats of ready jobs
 * by key, which can be checked (see `check` in groups.ts); leases list the seats of running jobs.
 */
export interface Group {
  readonly queue: string;
  readonly key: string;
  limit: number;
  /** Whether a job has set the limit. Otherwise the limit is the default. */
  given?: boolean | undefined;
  /** The stored record of the group. Absent: not read yet. */
  cell?: GroupCell | undefined;
  /** Seats that jobs took (value: the job's key) or left (undefined) in this transaction, by `keyText` of the key. */
  readonly places: Map<string, JobKey | undefined>;
  /** Set if the group may have free seats: the keys of its jobs that no longer run. */
  freed?: JobKey[] | undefined;
  /** Whether the seats must be checked for deleted jobs before the transaction ends: see `check` in groups.ts. */
  suspect?: boolean | undefined;
}

/** The stored record of a group: the limit that a job has set, and the keys of its ready jobs. */
export interface GroupCell {
  readonly limit?: number | undefined;
  readonly seats?: readonly JobKey[] | undefined;
}

/** The groups of a queue, by their keys. */
export const cellsOf = (queue: string) => kind<GroupCell>("group", queue);

/** Maximum number of a group's ready jobs, whatever its limit, so that its record stays small. */
export const SEATS = 256;

export type Grouped = Pick<StoredJob, "queue" | "group">;

/** The groups in each transaction, by queue and key. */
export const GROUPS = new WeakMap<Transaction, Map<string, Group>>();

export function groupOf(tx: Transaction, queue: string, key: string): Group {
  const groups = GROUPS.get(tx) ?? new Map<string, Group>();
  if (groups.size === 0) tx.atEnd(() => writeGroups(tx, groups));
  GROUPS.set(tx, groups);
  const name = JSON.stringify([queue, key]);
  const group = groups.get(name) ?? { queue, key, limit: 1, places: new Map() };
  groups.set(name, group);
  return group;
}

/** Reads the groups of these jobs in one step. Jobs without a group are not in the map. */
export function* groupsOf<J extends Grouped>(tx: Transaction, jobs: readonly J[]): Program<Map<J, Group>> {
  const groups = new Map<J, Group>();
  for (const job of jobs) if (job.group) groups.set(job, groupOf(tx, job.queue, job.group.key));
  yield* together([...new Set(groups.values())].map(open));
  return groups;
}

export function* open(group: Group): Program<void> {
  if (group.cell) return;
  group.cell = (yield* getCell(cellsOf(group.queue), group.key)) ?? {};
  const { limit } = group.cell;
  group.limit = limit ?? 1;
  group.given = limit !== undefined;
}

/** Gives a group without a limit of its own the limit of this job, which was delayed when it was added. */
export function adopt(group: Group, { group: own }: Grouped): void {
  if (!group.given && own?.limit) limitTo(group, own.limit);
}

/** Changes the limit of a group in this transaction. A higher limit may free seats. */
export function limitTo(group: Group, limit: number): void {
  if (group.limit !== limit) room(group);
  group.limit = limit;
  group.given = true;
}

interface Seats {
  /** The keys of ready jobs with a seat, by `keyText`, including running jobs. */
  readonly line: ReadonlyMap<string, JobKey>;
  readonly running: ReadonlySet<string>;
  /** The keys of ready jobs that do not run. */
  readonly waiting: readonly JobKey[];
  /** Maximum number of ready jobs that do not run. */
  readonly room: number;
}

/** Returns the seats of a group, with the changes of this transaction. */
export function* seatsOf(tx: Transaction, { queue, key, limit, cell, places }: Group): Program<Seats> {
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

/** Records that a job took (`taken`) or left a seat of its group, to be written at the end of the transaction. */
export function note(tx: Transaction, { queue, group, key }: Grouped & Pick<StoredJob, "key">, taken: boolean): void {
  if (group && key[0] === "ready") groupOf(tx, queue, group.key).places.set(keyText(key), taken ? key : undefined);
}

/**
 * Records that a group may have free seats, to be given to blocked jobs. `freed`: the key of a job that no longer runs.
 */
export function room(group: Group, freed?: JobKey): void {
  group.freed ??= [];
  if (freed) group.freed.push(freed);
}

/** Writes the changed records of groups. Keeps the seats of running jobs: removing one would cost a write per claim. */
function* writeGroups(tx: Transaction, groups: ReadonlyMap<string, Group>): Program<void> {
  for (const group of groups.values()) {
    if (group.places.size > 0) yield* open(group);
    const { queue, key, limit, given, cell: { limit: stored, seats: before } = {} } = group;
    const { line, running } = yield* seatsOf(tx, group);
    const seats = [...line].flatMap(([place, at]) =>
      !running.has(place) || (limit <= SEATS && before?.includes(at)) ? [at] : [],
    );
    // The record of a group without jobs in line or running is deleted, with its limit (R42).
    if (seats.length === 0 && (running.size === 0 || !given)) {
      if (before ?? stored) yield* removeCells(cellsOf(queue), [key]);
    } else if ((given ? limit : undefined) !== stored || JSON.stringify(seats) !== JSON.stringify(before ?? []))
      yield* putCells(cellsOf(queue), [[key, { ...(given && { limit }), seats }]]);
  }
}
