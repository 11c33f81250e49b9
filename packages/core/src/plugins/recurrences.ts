import { getCell, kind, listCells, putCells, removeCells } from "../engine/cells.ts";
import { accept, checkNames } from "../engine/enqueue.ts";
import { endJobs, insertJobs, locate, moveEachJob } from "../engine/job-writer.ts";
import type { CommandOf } from "../engine/kernel-commands.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Program } from "../engine/store.ts";
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
 * Recurrences (R24): jobs that are added again and again, at an interval or by a cron rule.
 *
 * @param cron reads cron rules; absent: recurrences by cron are refused.
 */
export const recurrences = (cron?: NextCron): Plugin => new Recurrences(cron);

/** A recurrence: its rule, the job it makes, and the occurrence that is pending. */
export interface ScheduleCell {
  readonly rule: RecurrenceRule;
  readonly job: NewJob;
  readonly count: number;
  readonly nextAt?: number;
  readonly nextId?: string;
}

/** The recurrences of a queue, by their keys. */
export const recurrencesOf = (queue: string) => kind<ScheduleCell>("schedule", queue);

/** How much a caller's clock may be ahead of the store's for its `startAt` still to mean "now". */
const START_SLACK_MS = 60_000;

class Recurrences implements Plugin {
  readonly name = "recurrences";
  readonly commands: NonNullable<Plugin["commands"]> = {
    schedule: (tx, request: CommandOf<"schedule">) => this.#schedule(tx, request),
    unschedule: (tx, { queue, key }: CommandOf<"unschedule">) => unschedule(tx, queue, key),
  };
  readonly reads: NonNullable<Plugin["reads"]> = { schedules: (_turn, queue: string) => schedules(queue) };
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

  /** The pending occurrence of a recurrence is at most its period away. */
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
   * Sets a recurrence; every start of an app may repeat it (R24). The same schedule keeps its phase, its count and its
   * pending occurrence. Another payload, option, limit or end changes the pending occurrence in place. Another interval or
   * cron expression plans again; an occurrence that is due already still runs.
   */
  *#schedule(tx: Transaction, { queue, key, rule, job }: CommandOf<"schedule">): Program<CommandReply> {
    checkPathName(key, "key");
    checkNames(tx.plugins, { ...job, queue }, tx.used);
    tx.used.add(this.name);
    const before = yield* getCell(recurrencesOf(queue), key);
    if (!before || !isSameTiming(before, rule, tx.now)) {
      const first = nextOccurrence(rule, undefined, tx.now, 0, this.#cron);
      if (first === undefined) throw invalidOption(rule.kind, `The recurrence ${JSON.stringify(key)} can never occur.`);
      if (before) yield* endPending(tx, queue, before, tx.now);
      const at = !before && rule.immediately ? tx.now : first;
      yield* accept(tx, [{ ...job, queue }]);
      yield* placeOccurrence(tx, queue, key, { rule, job, count: 0 }, at);
      return { affected: 1 };
    }
    return { affected: yield* this.#reschedule(tx, queue, key, before, rule, job) };
  }

  /** Applies a schedule with the timing that it has: what is pending changes in place. @returns 1 when anything changed. */
  *#reschedule(
    tx: Transaction,
    queue: string,
    key: string,
    before: ScheduleCell,
    { startAt: _, ...bounds }: RecurrenceRule,
    job: NewJob,
  ): Program<0 | 1> {
    // A start that has been honoured stays: it is the phase.
    const { startAt } = before.rule;
    const rule: RecurrenceRule = { ...bounds, ...(startAt !== undefined && { startAt }) };
    const { nextAt, nextId } = before;
    const stranded = nextAt !== undefined && rule.kind === "every" && nextAt > tx.now + rule.everyMs;
    const same = canonicalJson(before.rule, before.job) === canonicalJson(rule, job);
    if (same && !stranded) return 0;
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
    // The occurrence that is placed in a stranded one's stead is the same one: it does not count again.
    const cell = { rule, job, count: before.count - (stranded ? 1 : 0) };
    if (stranded || goesOn) {
      yield* placeOccurrence(tx, queue, key, cell, nextOccurrence(rule, nextAt, tx.now, cell.count, this.#cron));
    } else {
      const kept = over && pending ? {} : { ...(nextAt !== undefined && { nextAt }), ...(nextId && { nextId }) };
      yield* putCells(recurrencesOf(queue), [[key, { ...cell, ...kept }]]);
    }
    yield* accept(tx, [{ ...job, queue }]);
    tx.changed(queue, "ready");
    return 1;
  }

  /**
   * Places what follows these jobs, where they are the occurrence that is pending (compare and set): so an operator's
   * retry of an old one places nothing, and of two workers with clocks apart only one does (R24). Answers the first
   * instant at which one of those placed is due.
   *
   * @param ended whether the jobs have ended; else they begin.
   */
  *#placeNext(tx: Transaction, jobs: readonly StoredJob[], ended = false): Program<number> {
    let first = Number.POSITIVE_INFINITY;
    for (const { queue, id, recurrence: key, availableAt } of jobs) {
      if (key === undefined) continue;
      const cell = yield* getCell(recurrencesOf(queue), key);
      if (!cell || cell.nextId !== id) continue;
      // The one that runs stays the pending one until it has ended: what follows is placed then.
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

/** Whether a schedule recurs at the same instants, apart from a `startAt` and a first run that have been honoured. */
function isSameTiming({ rule: before }: ScheduleCell, rule: RecurrenceRule, now: number): boolean {
  const timing = ({ limit, endAt, overlap, immediately, startAt, ...rest }: RecurrenceRule) => JSON.stringify(rest);
  if (timing(before) !== timing(rule)) return false;
  const begun = (before.startAt ?? 0) <= now;
  return begun ? (rule.startAt ?? 0) <= now + START_SLACK_MS : before.startAt === rule.startAt;
}

/** The pending occurrence while it waits; undefined once it runs or has ended. */
function* pendingOf(tx: Transaction, queue: string, { nextId }: ScheduleCell): Program<StoredJob | undefined> {
  if (nextId === undefined) return undefined;
  const [job] = yield* locate([{ queue, id: nextId }]);
  if (!job || job.key[0] === "finished" || (yield* tx.leases()).holderOf(job.key)) return undefined;
  return job;
}

/** The pending occurrence with another payload and other options, in its place. */
function occurrenceOf(pending: StoredJob, job: NewJob, at: number, now: number): StoredJob {
  const { expiresInMs, ...rest } = job;
  const next = replaced(pending, { ...rest, queue: pending.queue }, now, undefined);
  return expiresInMs === undefined ? next : { ...next, expiresAt: at + expiresInMs };
}

/** All recurrences of a queue, in the order of their keys. */
function* schedules(queue: string): Program<readonly Schedule[]> {
  const cells = yield* listCells(recurrencesOf(queue), Number.POSITIVE_INFINITY);
  return cells.map(({ name, value }) => toSchedule(queue, name, value));
}

/** A recurrence as people see it. */
export const toSchedule = (queue: string, key: string, { job, ...cell }: ScheduleCell): Schedule => ({
  ...cell,
  key,
  queue,
  name: job.name,
  payload: JSON.parse(job.payload),
  ...(job.sealed && { sealed: job.sealed }),
});

function* placeOccurrence(
  tx: Transaction,
  queue: string,
  key: string,
  cell: Omit<ScheduleCell, "nextAt" | "nextId">,
  at: number | undefined,
): Program<void> {
  const { rule, job, count } = cell;
  if (at === undefined) return yield* putCells(recurrencesOf(queue), [[key, { rule, job, count }]]);
  const { id: _, ...rest } = job;
  const occurrence: StoredJob = {
    ...readyStored({ ...rest, queue }, tx.nextPosition(at - tx.now), tx.now),
    recurrence: key,
    ...(job.expiresInMs !== undefined && { expiresAt: at + job.expiresInMs }),
  };
  yield* insertJobs(tx, [occurrence]);
  yield* putCells(recurrencesOf(queue), [[key, { rule, job, count: count + 1, nextAt: at, nextId: occurrence.id }]]);
}

/**
 * The recurrence is gone or another: its pending occurrence goes without a trace, a running one goes on.
 *
 * @param dueBy one that is due by then stays, and runs.
 */
function* endPending(tx: Transaction, queue: string, cell: ScheduleCell, dueBy?: number): Program<void> {
  const job = yield* pendingOf(tx, queue, cell);
  if (!job || (dueBy !== undefined && job.availableAt <= dueBy)) return;
  yield* endJobs(tx, [{ job, ending: { state: "cancelled" }, trace: false }]);
}
