import { getCell, kind, listCells, putCells, removeCells } from "../engine/cells.ts";
import { accept, checkNames } from "../engine/enqueue.ts";
import { endJobs, insertJobs, locate, moveEachJob } from "../engine/job-writer.ts";
import type { CommandOf } from "../engine/kernel-commands.ts";
import { type Lapsing, NEVER } from "../engine/lapsing.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Program, Records } from "../engine/store.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { CommandReply, Schedule } from "../engine/verbs.ts";
import { invalidOption } from "../job/errors.ts";
import { checkPathName } from "../job/job-keys.ts";
import type { StoredJob } from "../job/job-record.ts";
import { canonicalText } from "../job/json.ts";
import type { NewJob } from "../job/new-job.ts";
import { type NextCron, nextOccurrence, type RecurrenceRule } from "../job/next-occurrence.ts";
import { readyStored, replaced } from "../job/transitions.ts";

/**
 * Creates the plugin of recurrences (R24): jobs that are added at an interval or by a cron rule.
 *
 * @param cron evaluates cron rules; absent: recurrences by cron are refused.
 */
export const recurrences = (cron?: NextCron): Plugin => new Recurrences(cron);

/** The stored record of a recurrence: its rule, its job, and the id of the pending occurrence. */
export interface ScheduleCell {
  readonly rule: RecurrenceRule;
  readonly job: NewJob;
  readonly count: number;
  readonly nextAt?: number | undefined;
  readonly nextId?: string | undefined;
  /** The recurrence has ended, and is deleted at this time. */
  readonly until?: number | undefined;
}

/** The recurrences of a queue, by their keys. */
export const recurrencesOf = (queue: string) => kind<ScheduleCell>("schedule", queue);

/**
 * Tolerance for a `startAt` in the past, in ms: within it, `startAt` means now, because the caller's clock may differ
 * from the store's.
 */
const START_SLACK_MS = 60_000;

/** Time for which a recurrence that has ended is kept after it was last scheduled, in ms. */
const ENDED_MS = 30 * 86_400_000;

class Recurrences implements Plugin {
  readonly name = "recurrences";
  readonly marks = ["recurrence"];
  readonly commands: NonNullable<Plugin["commands"]> = {
    schedule: (tx, request: CommandOf<"schedule">) => this.#schedule(tx, request),
    unschedule: (tx, { queue, key }: CommandOf<"unschedule">) => unschedule(tx, queue, key),
  };
  readonly reads: NonNullable<Plugin["reads"]> = { schedules: (_turn, queue: string) => schedules(queue) };
  readonly lapsing: Lapsing = {
    collection: "cells",
    // "0" is the next character after "/".
    ranges: [{ from: ["schedule/"], to: ["schedule0"] }],
    until: ({ value }: Records["cells"]) => (value as ScheduleCell).until ?? NEVER,
  };
  readonly #cron: NextCron | undefined;

  constructor(cron: NextCron | undefined) {
    this.#cron = cron;
  }

  *ended(tx: Transaction, ends: readonly { readonly job: StoredJob }[]): Program<void> {
    yield* this.#placeNext(
      tx,
      ends.map(({ job }) => job),
      true,
    );
  }

  claimed(tx: Transaction, jobs: readonly StoredJob[]): Program<number> {
    return this.#placeNext(tx, jobs);
  }

  /** Returns when a pending occurrence is due after the clock was set back: at most one period from now. */
  *dueAgain(tx: Transaction, { queue, id, recurrence }: StoredJob, at: number): Program<number> {
    if (recurrence === undefined) return at;
    const cell = yield* getCell(recurrencesOf(queue), recurrence);
    if (cell?.nextId !== id) return at;
    const { rule } = cell;
    const nextAt = rule.kind === "every" ? Math.min(at, tx.now + rule.everyMs) : (this.#cron?.(rule, tx.now) ?? at);
    yield* putCells(recurrencesOf(queue), [[recurrence, { ...cell, nextAt }]]);
    return nextAt;
  }

  /**
   * Creates or changes a recurrence; an app may repeat the call at every start (R24). An unchanged recurrence keeps its
   * phase, count and pending occurrence. A new payload, option, limit or end changes the pending occurrence in place. A
   * new interval or cron expression schedules the occurrence again; one that is already due still runs.
   */
  *#schedule(tx: Transaction, { queue, key, rule, job }: CommandOf<"schedule">): Program<CommandReply> {
    checkPathName(key, "key");
    checkNames(tx.plugins, { ...job, queue }, tx.used);
    tx.used.add(this.name);
    const before = yield* getCell(recurrencesOf(queue), key);
    if (!before || !isSameTiming(before, rule, tx.now)) {
      const first = nextOccurrence(rule, undefined, tx.now, 0, this.#cron);
      if (first === undefined) throw invalidOption(rule.kind, `The recurrence ${JSON.stringify(key)} can never occur.`);
      yield* accept(tx, [{ ...job, queue }]);
      const cell = { ...before, rule, job, count: 0 };
      // With `overlap: "skip"`, the end of an occurrence that runs or is due places the next.
      if (before && (yield* endPending(tx, queue, before, tx.now)) && rule.overlap)
        yield* putCells(recurrencesOf(queue), [[key, cell]]);
      else yield* placeOccurrence(tx, queue, key, cell, !before && rule.immediately ? tx.now : first);
      return { affected: 1 };
    }
    return { affected: yield* this.#reschedule(tx, queue, key, before, rule, job) };
  }

  /**
   * Changes a recurrence with unchanged timing: the pending occurrence changes in place. @returns 1 if anything
   * changed.
   */
  *#reschedule(
    tx: Transaction,
    queue: string,
    key: string,
    before: ScheduleCell,
    { startAt: _, ...bounds }: RecurrenceRule,
    job: NewJob,
  ): Program<0 | 1> {
    // A `startAt` in the past is kept, because it is the phase.
    const { startAt } = before.rule;
    const rule: RecurrenceRule = { ...bounds, ...(startAt !== undefined && { startAt }) };
    const { nextAt, nextId } = before;
    const stranded = nextAt !== undefined && rule.kind === "every" && nextAt > tx.now + rule.everyMs;
    const same = canonicalJson(before.rule, before.job) === canonicalJson(rule, job);
    if (same && !stranded) {
      if (before.until) yield* placeOccurrence(tx, queue, key, before);
      return 0;
    }
    tx.setBack ||= stranded;

    const { limit = Number.POSITIVE_INFINITY, endAt = Number.POSITIVE_INFINITY } = rule;
    const over = before.count > limit || (nextAt ?? 0) > endAt;
    const goesOn = nextId === undefined && before.count < limit && tx.now <= endAt && !over;
    const pending = yield* pendingOf(tx, queue, before);
    if (pending && (over || stranded)) {
      yield* endJobs(tx, [{ job: pending, ending: { state: "cancelled" }, trace: false }]);
    } else if (pending && nextAt !== undefined) {
      yield* moveEachJob(tx, [pending], () => occurrenceOf(pending, job, nextAt, tx.now));
    }
    // The occurrence that replaces a misplaced one does not count again.
    const cell = { rule, job, count: before.count - (stranded ? 1 : 0) };
    if (stranded || goesOn) {
      yield* placeOccurrence(tx, queue, key, cell, nextOccurrence(rule, nextAt, tx.now, cell.count, this.#cron));
    } else {
      const kept = nextId && !(over && pending);
      if (kept) yield* putCells(recurrencesOf(queue), [[key, { ...cell, nextAt, nextId }]]);
      else yield* placeOccurrence(tx, queue, key, cell);
    }
    yield* accept(tx, [{ ...job, queue }]);
    tx.changed(queue, "ready");
    return 1;
  }

  /**
   * Adds the next occurrence of a recurrence after its pending occurrence started or ended; other jobs are skipped. So
   * an operator's retry of an old occurrence adds nothing, and of two workers only one adds the next (R24). Returns the
   * earliest time at which an added occurrence is due.
   *
   * @param ended whether the jobs have ended; otherwise they start.
   */
  *#placeNext(tx: Transaction, jobs: readonly StoredJob[], ended = false): Program<number> {
    let first = Number.POSITIVE_INFINITY;
    for (const { queue, id, recurrence: key, availableAt } of jobs) {
      if (key === undefined) continue;
      const cell = yield* getCell(recurrencesOf(queue), key);
      if (!cell || cell.nextId !== id) continue;
      // With `overlap: "skip"`, the running occurrence stays the pending one until it has ended; then the next is
      // placed.
      if (!ended && cell.rule.overlap === "skip") continue;
      const { nextAt = availableAt, nextId: _, ...rest } = cell;
      const at = nextOccurrence(cell.rule, nextAt, tx.now, cell.count, this.#cron);
      yield* placeOccurrence(tx, queue, key, rest, at);
      first = Math.min(first, at ?? first);
    }
    return first;
  }
}

function* unschedule(tx: Transaction, queue: string, key: string): Program<CommandReply> {
  const cell = yield* getCell(recurrencesOf(queue), key);
  if (!cell) return { affected: 0 };
  yield* removeCells(recurrencesOf(queue), [key]);
  yield* endPending(tx, queue, cell);
  return { affected: 1 };
}

const canonicalJson = (rule: RecurrenceRule, { payload, ...job }: NewJob): string =>
  canonicalText(JSON.stringify([rule, job, JSON.parse(payload)]));

/**
 * Returns whether a new rule gives the same times as the stored one. Ignores a `startAt` in the past and a first run
 * that is over.
 */
function isSameTiming({ rule: before }: ScheduleCell, rule: RecurrenceRule, now: number): boolean {
  const timing = ({ limit, endAt, overlap, immediately, startAt, ...rest }: RecurrenceRule) => JSON.stringify(rest);
  if (timing(before) !== timing(rule)) return false;
  const begun = (before.startAt ?? 0) <= now;
  return begun ? (rule.startAt ?? 0) <= now + START_SLACK_MS : before.startAt === rule.startAt;
}

/** Returns the pending occurrence while it waits; undefined if it runs or has ended. */
function* pendingOf(tx: Transaction, queue: string, { nextId }: ScheduleCell): Program<StoredJob | undefined> {
  if (nextId === undefined) return undefined;
  const [job] = yield* locate([{ queue, id: nextId }]);
  if (!job || job.key[0] === "finished" || (yield* tx.holderOf(job.key))) return undefined;
  return job;
}

/** Returns the pending occurrence with the payload and options of `job`, at the same position. */
function occurrenceOf(pending: StoredJob, job: NewJob, at: number, now: number): StoredJob {
  const { expiresInMs, ...rest } = job;
  const next = replaced(pending, { ...rest, queue: pending.queue }, now, undefined);
  return expiresInMs === undefined ? next : { ...next, expiresAt: at + expiresInMs };
}

/** Returns all recurrences of a queue, in the order of their keys. */
function* schedules(queue: string): Program<readonly Schedule[]> {
  const cells = yield* listCells(recurrencesOf(queue), Number.POSITIVE_INFINITY);
  return cells.map(({ name, value }) => toSchedule(queue, name, value));
}

/** Converts a stored recurrence to its public form. */
export const toSchedule = (queue: string, key: string, { job, until: _, ...cell }: ScheduleCell): Schedule => ({
  ...cell,
  key,
  queue,
  name: job.name,
  payload: JSON.parse(job.payload),
  ...(job.sealed && { sealed: job.sealed }),
});

/**
 * Adds the next occurrence.
 *
 * @param at absent: the recurrence has ended. Its record is kept for some time, so that the same call of `schedule` does
 *   not start it again.
 */
function* placeOccurrence(
  tx: Transaction,
  queue: string,
  key: string,
  cell: Omit<ScheduleCell, "nextAt" | "nextId">,
  at?: number,
): Program<void> {
  const { rule, job, count } = cell;
  if (at === undefined) {
    const until = tx.now + ENDED_MS;
    tx.lapses(until);
    return yield* putCells(recurrencesOf(queue), [[key, { rule, job, count, until }]]);
  }
  const { id: _, ...rest } = job;
  const occurrence: StoredJob = {
    ...readyStored({ ...rest, queue }, tx.nextPosition(at - tx.now), tx.now),
    recurrence: key,
    scheduledFor: at,
    ...(job.expiresInMs !== undefined && { expiresAt: at + job.expiresInMs }),
  };
  yield* insertJobs(tx, [occurrence]);
  yield* putCells(recurrencesOf(queue), [[key, { rule, job, count: count + 1, nextAt: at, nextId: occurrence.id }]]);
}

/**
 * Deletes the waiting occurrence of a recurrence that was removed or replaced. A running one continues. Returns the id
 * of the pending occurrence if it runs or was kept.
 *
 * @param dueBy an occurrence that is due by this time is kept, and runs.
 */
function* endPending(tx: Transaction, queue: string, cell: ScheduleCell, dueBy = 0): Program<string | undefined> {
  const job = yield* pendingOf(tx, queue, cell);
  if (!job || job.availableAt <= dueBy) return cell.nextId;
  yield* endJobs(tx, [{ job, ending: { state: "cancelled" }, trace: false }]);
  return undefined;
}
