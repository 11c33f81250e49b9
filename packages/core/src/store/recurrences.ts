import { checkName, spellId } from "../job/place.ts";
import type { StoredJob } from "../job/record.ts";
import { nextOccurrence } from "../job/recurrence.ts";
import { readyKey } from "../job/transitions.ts";
import { getCell, kind, listCells, putCells, removeCells } from "./cells.ts";
import { end, locate, place } from "./door.ts";
import { checkNames } from "./enqueue.ts";
import { setLimits } from "./groups.ts";
import type { Program, ScheduleCell } from "./store.ts";
import type { Turn } from "./turn.ts";
import type { Command, CommandReply, Schedule } from "./verbs.ts";

/** Recurrences listed of one queue, at most. */
const LIST_LIMIT = 10_000;

/** Sets a recurrence. The same rule and job again change nothing, so an app may say it at every start. */
export function* schedule(
  turn: Turn,
  { queue, key, rule, job }: Extract<Command, { type: "schedule" }>,
): Program<CommandReply> {
  checkName(key, "key");
  checkNames({ ...job, queue });
  const before = yield* getCell(kind("schedule", queue), key);
  if (before && JSON.stringify([before.rule, before.job]) === JSON.stringify([rule, job])) return { affected: 0 };
  if (before) yield* endPending(turn, queue, before);
  const nextAt = nextOccurrence(rule, undefined, turn.now, 0, turn.nextCron);
  yield* placeOccurrence(turn, queue, key, { rule, job, count: 0 }, nextAt);
  yield* setLimits(turn, [{ ...job, queue }]);
  return { affected: 1 };
}

export function* unschedule(turn: Turn, queue: string, key: string): Program<CommandReply> {
  const cell = yield* getCell(kind("schedule", queue), key);
  if (!cell) return { affected: 0 };
  yield* removeCells(kind("schedule", queue), [key]);
  yield* endPending(turn, queue, cell);
  return { affected: 1 };
}

export function* schedules(queue: string): Program<readonly Schedule[]> {
  const cells = yield* listCells(kind("schedule", queue), LIST_LIMIT);
  return cells.map(({ name: key, value: { job, ...cell } }) => ({
    ...cell,
    key,
    queue,
    name: job.name,
    payload: JSON.parse(job.payload),
  }));
}

/**
 * Places what follows these jobs, where they are the occurrence that is pending (compare and set): so an operator's
 * retry of an old one places nothing, and of two workers with clocks apart only one does (R24). Answers the first
 * instant at which one of those placed is due.
 */
export function* placeNext(turn: Turn, jobs: readonly StoredJob[]): Program<number> {
  let first = Number.POSITIVE_INFINITY;
  for (const { queue, id, recurrence: key, availableAt } of jobs) {
    if (key === undefined) continue;
    const cell = yield* getCell(kind("schedule", queue), key);
    if (!cell || cell.nextId !== id) continue;
    const { nextAt = availableAt, nextId: _, ...rest } = cell;
    const at = nextOccurrence(cell.rule, nextAt, turn.now, cell.count, turn.nextCron);
    yield* placeOccurrence(turn, queue, key, rest, at);
    first = Math.min(first, at ?? first);
  }
  return first;
}

function* placeOccurrence(
  turn: Turn,
  queue: string,
  key: string,
  cell: Omit<ScheduleCell, "nextAt" | "nextId">,
  at: number | undefined,
): Program<void> {
  const { rule, job, count } = cell;
  if (at === undefined) return yield* putCells(kind("schedule", queue), [[key, { rule, job, count }]]);
  const { delayMs: _, expiresInMs, priority = 0, id: __, flow: ___, ...rest } = job;
  const stand = turn.stand(at - turn.now);
  const place_ = readyKey(queue, priority, stand);
  const occurrence: StoredJob = {
    ...rest,
    queue,
    key: place_,
    id: spellId(place_),
    priority,
    addedAt: turn.now,
    availableAt: at,
    recurrence: key,
    ...(expiresInMs !== undefined && { expiresAt: at + expiresInMs }),
  };
  yield* place(turn, [occurrence]);
  yield* putCells(kind("schedule", queue), [[key, { rule, job, count: count + 1, nextAt: at, nextId: occurrence.id }]]);
}

/** The recurrence is gone or another: its pending occurrence goes without a trace, a running one goes on. */
function* endPending(turn: Turn, queue: string, { nextId }: ScheduleCell): Program<void> {
  if (nextId === undefined) return;
  const [job] = yield* locate(queue, [nextId]);
  if (!job || job.key[0] === "finished" || (yield* turn.leases()).holderOf(job.key)) return;
  yield* end(turn, [{ job, ending: { state: "cancelled" }, trace: false }]);
}
