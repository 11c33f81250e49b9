import type { ClaimPart, QueueClaim } from "../engine/claim.ts";
import { standsAhead } from "../engine/clock-set-back.ts";
import { moveEachJob } from "../engine/job-writer.ts";
import type { Plugin, Plugins } from "../engine/plugin.ts";
import type { Program } from "../engine/store.ts";
import { compareKeys, done, get, scan, scanKeys, startingWith, together } from "../engine/store-operations.ts";
import type { Transaction } from "../engine/transaction.ts";
import { blockedLane, blockOf, checkName, keyText, queueOf, readyLane, sameKey } from "../job/job-keys.ts";
import type { JobDefaults, OptionParsers } from "../job/job-options.ts";
import type { StoredJob, StoredOptions } from "../job/job-record.ts";
import * as LIMITS from "../job/limits.ts";
import { fields, integer } from "../job/option-checks.ts";
import { again, blocked, isUndelayed, returned } from "../job/transitions.ts";
import {
  adopt,
  GROUPS,
  type Group,
  type Grouped,
  groupOf,
  groupsOf,
  limitTo,
  note,
  open,
  room,
  SEATS,
  seatsOf,
} from "./group-seats.ts";

/** Parser of the job option `group`, for `addJob` and the other methods that read job options. */
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
  marks: ["group"],
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
    const groups = [...(GROUPS.get(tx)?.values() ?? [])].filter(({ freed }) => freed);
    if (groups.length > 0) yield* returnToRoom(tx, groups);
    return groups.length > 0;
  },
  prepare: suspectNext,
  claiming: claimOf,
  held: ({ group }) => group && { group: group.key },
};

/** Stores the limits that new jobs set. A higher limit may free seats (see `Group`). */
function* setLimits(tx: Transaction, jobs: readonly Grouped[]): Program<void> {
  const setting = jobs.filter((job) => job.group?.limit);
  if (setting.length > 0)
    for (const [job, group] of yield* groupsOf(tx, setting)) limitTo(group, job.group?.limit ?? 1);
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
  yield* together([tx.leases(), ...[...coming.keys()].flatMap((group) => [open(group), lookBehind(group)])]);
  const aside = new Set<StoredJob>();
  for (const [group, mine] of coming) {
    if (!isNew) for (const job of mine.values()) if (job.key[3] <= tx.now || isUndelayed(job.key)) adopt(group, job);
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

/** Requests a check of the group's seats before the transaction ends: see `check`. */
function suspect(group: Group): void {
  group.suspect = true;
  room(group);
}

/** For each driver and queue, the lane of the blocked jobs of the group that is checked next. */
const CURSORS = new WeakMap<Plugins, Map<string, string | undefined>>();

/**
 * Requests a check of the next group with blocked jobs, one group per exchange: seats of deleted jobs could block the
 * others for ever.
 */
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

/** Number of seats that one check reads, oldest first. Repeated checks reach the seats of deleted jobs. */
const CHECK_STEP = 16;

/** Removes the seats of jobs that no longer exist: damaged records, or jobs deleted by older code. */
function* check(tx: Transaction, group: Group): Program<void> {
  group.suspect = false;
  const waiting = (yield* seatsOf(tx, group)).waiting.slice(0, CHECK_STEP);
  const jobs = yield* get("jobs", waiting);
  for (const [index, at] of waiting.entries())
    if (jobs[index]?.group?.key !== group.key) group.places.set(keyText(at), undefined);
}

/** Limits a claim to jobs whose groups have room: blocks the jobs of full groups. */
function* claimOf({ tx, queue }: QueueClaim): Program<ClaimPart> {
  let groups = new Map<StoredJob, Group>();
  /** Number of running jobs of each group. */
  const running = new Map<string, number>();
  const count = (key: string) => running.set(key, (running.get(key) ?? 0) + 1);
  for (const { group } of (yield* tx.leases()).heldOf(queue)) if (group !== undefined) count(group);
  return {
    *read(page) {
      groups = page.some(({ group }) => group) ? yield* groupsOf(tx, page) : new Map();
    },
    takes(job) {
      const group = groups.get(job);
      if (!group) return true;
      // One by one: how many jobs a page has must not decide which of them gives the limit.
      adopt(group, job);
      return (running.get(group.key) ?? 0) < group.limit;
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
