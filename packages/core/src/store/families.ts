import type { ChildOutcome } from "../job/handler.ts";
import { LIMITS } from "../job/limits.ts";
import { endStateOf } from "../job/place.ts";
import type { ChildFailure, Parent, StoredJob } from "../job/record.ts";
import { CHILD_FAILED, type Ending, keepOf, returned } from "../job/transitions.ts";
import { getCell, getCells, kind, listCells, putCells } from "./cells.ts";
import { type End, end, locate } from "./door.ts";
import { memberName, members, removeFamily } from "./members.ts";
import { moveEach } from "./moves.ts";
import type { Family, Member, Program } from "./store.ts";
import type { Turn } from "./turn.ts";

/** Stores which children each new parent waits for, by `memberName`. */
export function* found(families: ReadonlyMap<StoredJob, readonly string[]>): Program<void> {
  for (const [parent, children] of families) {
    yield* putCells(kind("family", parent.queue), [[parent.id, { pending: children.length }]]);
    yield* putCells(
      members(parent),
      children.map((name) => [name, { pending: true }] as const),
    );
  }
}

/** A child that had ended, and is still kept, when a parent was added that waits for it. */
export interface EndedChild {
  readonly parent: Parent;
  readonly job: StoredJob;
}

/** Settles the membership of children that had ended before their parent was added, with the outcome that is kept. */
export function* settleEnded(turn: Turn, children: readonly EndedChild[]): Program<void> {
  for (const { parent, job } of children) {
    const { error, result } = job;
    const ending = { state: endStateOf(job.key), ...(error && { error }), ...(result !== undefined && { result }) };
    yield* settleFamily(turn, parent, [{ job, ending, onFailure: parent.onFailure }]);
  }
}

interface EndOfChild {
  readonly job: StoredJob;
  readonly ending: Ending;
  readonly onFailure: ChildFailure;
}

/**
 * Settles the membership of children that have ended (R25), each once: a parent whose children have all ended goes back
 * in line, one whose child failed ends with it, unless the child says otherwise.
 */
export function* settleMembers(
  turn: Turn,
  ends: readonly { readonly job: StoredJob; readonly ending: Ending }[],
): Program<void> {
  const byParent = new Map<string, { readonly parent: Parent; readonly children: EndOfChild[] }>();
  for (const { job, ending } of ends) {
    if (!job.parent) continue;
    for (const parent of [job.parent, ...(job.otherParents ?? [])]) {
      const name = memberName(parent);
      const family = byParent.get(name) ?? { parent, children: [] };
      family.children.push({ job, ending, onFailure: parent.onFailure });
      byParent.set(name, family);
    }
  }
  for (const { parent, children } of byParent.values()) yield* settleFamily(turn, parent, children);
}

function* settleFamily(turn: Turn, parent: Parent, children: readonly EndOfChild[]): Program<void> {
  const family = yield* getCell(kind("family", parent.queue), parent.id);
  if (!family) return;
  const names = children.map(({ job }) => memberName(job));
  const before = yield* getCells(members(parent), names);
  const settled = children.filter((_, index) => before[index]?.pending);
  const left: Family = { pending: family.pending - settled.length };
  yield* putCells(
    members(parent),
    settled.map(({ job, ending }) => [memberName(job), { outcome: outcomeOf(job, ending) } satisfies Member] as const),
  );
  yield* putCells(kind("family", parent.queue), [[parent.id, left]]);
  const [record] = yield* locate(parent.queue, [parent.id]);
  if (record?.key[0] !== "blocked") return;
  const failed = settled.find(({ ending, onFailure }) => ending.state !== "completed" && onFailure === "fail");
  if (failed)
    yield* end(turn, [
      { job: record, ending: { state: "failed", error: CHILD_FAILED(failed.job, failed.ending.state) } },
    ]);
  else if (left.pending === 0) yield* moveEach(turn, [record], returned);
}

function outcomeOf(job: StoredJob, { state, result, error }: Ending): ChildOutcome {
  return {
    queue: job.queue,
    id: job.id,
    name: job.name,
    state,
    ...(result !== undefined && { result: JSON.parse(result) }),
    ...(error && {
      error: { code: error.code, message: error.message, ...(job.sealed && { details: error.details ?? {} }) },
    }),
    ...(job.sealed && { sealed: job.sealed }),
  };
}

/**
 * Removes what is stored about the children of parents that have ended. It stays while an operator can retry the parent
 * (R25): until then outcomes are added to it, and `forget` removes it with the parent.
 */
export function* disband(turn: Turn, ends: readonly End[]): Program<void> {
  for (const { job, ending, trace = true } of ends) {
    if (!job.hasChildren) continue;
    const { keep } = yield* turn.settings(job.queue);
    const canBeRetried = trace && ending.state !== "completed" && keepOf(job, keep, ending.state) > 0;
    if (!canBeRetried) yield* removeFamily(job);
  }
}

/** How the children of a parent ended, in the order of their names. */
export function* outcomes(parent: StoredJob): Program<readonly ChildOutcome[]> {
  const cells = yield* listCells(members(parent), LIMITS.flowJobs);
  return cells.flatMap(({ value }) => value.outcome ?? []);
}
