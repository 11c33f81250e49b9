import type { ChildOutcome } from "../job/handler.ts";
import type { StoredJob } from "../job/record.ts";
import { CHILD_FAILED, type Ending, returned } from "../job/transitions.ts";
import { getCell, getCells, kind, listCells, putCells, removeCells } from "./cells.ts";
import { type End, end, locate, move } from "./door.ts";
import { removeRange, startingWith } from "./operations.ts";
import type { Family, Member, Program } from "./store.ts";
import type { Turn } from "./turn.ts";

/** Children of one parent, at most: their outcomes are read when it runs. */
export const CHILDREN_LIMIT = 10_000;

const members = (parent: { readonly queue: string; readonly id: string }) => kind("member", parent.queue, parent.id);
const memberName = ({ queue, id }: { readonly queue: string; readonly id: string }): string =>
  JSON.stringify([queue, id]);

/** Writes down which children each new parent waits for. */
export function* found(families: ReadonlyMap<StoredJob, readonly StoredJob[]>): Program<void> {
  for (const [parent, children] of families) {
    yield* putCells(kind("family", parent.queue), [[parent.id, { pending: children.length }]]);
    yield* putCells(
      members(parent),
      children.map((child) => [memberName(child), { pending: true }] as const),
    );
  }
}

/**
 * Settles the membership of children that have ended (R25), each once: a parent whose children have all ended goes back
 * in line, one whose child failed ends with it, unless the child says otherwise.
 */
export function* settleMembers(
  turn: Turn,
  ends: readonly { readonly job: StoredJob; readonly ending: Ending }[],
): Program<void> {
  const byParent = new Map<string, { job: StoredJob; ending: Ending }[]>();
  for (const one of ends) {
    if (!one.job.parent) continue;
    const name = memberName(one.job.parent);
    byParent.set(name, [...(byParent.get(name) ?? []), one]);
  }
  for (const children of byParent.values()) yield* settleFamily(turn, children);
}

function* settleFamily(
  turn: Turn,
  children: readonly { readonly job: StoredJob; readonly ending: Ending }[],
): Program<void> {
  const parent = (children[0] as (typeof children)[number]).job.parent as NonNullable<StoredJob["parent"]>;
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
  const failed = settled.find(({ job, ending }) => ending.state !== "completed" && job.parent?.onFailure === "fail");
  if (failed)
    yield* end(turn, [
      { job: record, ending: { state: "failed", error: CHILD_FAILED(failed.job, failed.ending.state) } },
    ]);
  else if (left.pending === 0) yield* move(turn, [{ from: record.key, job: returned(record) }]);
}

function outcomeOf(job: StoredJob, { state, result, error }: Ending): ChildOutcome {
  return {
    queue: job.queue,
    id: job.id,
    name: job.name,
    state,
    ...(result !== undefined && { result: JSON.parse(result) }),
    ...(error && { error: { code: error.code, message: error.message } }),
  };
}

/** A parent that has ended waits for nobody: its children, if any are left, go on by themselves. */
export function* disband(ends: readonly End[]): Program<void> {
  for (const { job } of ends) {
    if (!job.hasChildren) continue;
    yield* removeCells(kind("family", job.queue), [job.id]);
    yield* removeRange("cells", startingWith(members(job).text));
  }
}

/** How the children of a parent ended, in the order of their names. */
export function* outcomes(parent: StoredJob): Program<readonly ChildOutcome[]> {
  const cells = yield* listCells(members(parent), CHILDREN_LIMIT);
  return cells.flatMap(({ value }) => value.outcome ?? []);
}
