import { type Adding, type AddPart, locateAll } from "../engine/add-batch.ts";
import { getCell, getCells, kind, listCells, putCells, removeCells } from "../engine/cells.ts";
import { type End, endJobs, locate, moveEachJob } from "../engine/job-writer.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Program } from "../engine/store.ts";
import { done, removeRange, startingWith } from "../engine/store-operations.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { EnqueueReceipt } from "../engine/verbs.ts";
import type { ChildOutcome } from "../job/handler.ts";
import { childId, endStateOf } from "../job/job-keys.ts";
import type { ChildFailure, EndState, Parent, StoredJob } from "../job/job-record.ts";
import { memberName } from "../job/job-reference.ts";
import * as LIMITS from "../job/limits.ts";
import type { NewJob } from "../job/new-job.ts";
import type { StoredError } from "../job/stored-error.ts";
import { blocked, type Ending, keepOf, returned } from "../job/transitions.ts";
import { type BoundFlows, type FlowPlan, planFlows } from "./flow-plan.ts";

/** Flows (R25): a parent waits until all of its children have ended, and gets their outcomes. */
export const flows: Plugin = {
  name: "flows",
  fields: ["flow"],
  marks: ["parent", "hasChildren"],
  adding: (add) => done(new FlowAdd(add)),
  *ended(tx, ends) {
    yield* settleMembers(tx, ends);
    yield* disband(tx, ends);
  },
  *deleted(_, jobs) {
    for (const job of jobs) if (job.hasChildren) yield* removeFamily(job);
  },
  *retrying(_, job) {
    const family = job.hasChildren ? yield* getCell(families(job.queue), job.id) : undefined;
    return family?.pending ? blocked(job, "children", job.id) : job;
  },
  *reply({ reply }, job) {
    if (!job.hasChildren) return undefined;
    return reply ? yield* reply.children(job) : { children: yield* outcomes(job) };
  },
};

/** The flows plugin's part in one add: gives children their ids and parents, and stores the records of the flows. */
class FlowAdd implements AddPart {
  readonly #add: Adding;
  readonly #plan: FlowPlan;
  #bound: BoundFlows | undefined;

  constructor(add: Adding) {
    this.#add = add;
    this.#plan = planFlows(add.jobs);
  }

  get order(): readonly number[] {
    return this.#plan.order;
  }

  get mayExist(): readonly Pick<StoredJob, "queue" | "id">[] {
    const { jobs } = this.#add;
    return jobs.flatMap((job, index) => {
      const id = job.id ?? this.#idBelow(index, (anchor) => jobs[anchor]?.id);
      return id === undefined ? [] : { queue: job.queue, id };
    });
  }

  /** Handles the next job of the plan, parents first. Does not add the children of a parent that exists already. */
  *next(index: number, given: NewJob): Program<{ readonly receipt: EnqueueReceipt } | { readonly job: NewJob }> {
    const { receipts } = this.#add;
    const parent = this.#plan.parentOf(index);
    if (given.id !== undefined && parent === undefined) return { job: given };
    const id = given.id ?? this.#idBelow(index, (anchor) => receipts[anchor]?.id);
    const job = id === undefined ? given : { ...given, id };
    if (parent !== undefined && receipts[parent]?.deduplicated) {
      const held = given.id === undefined ? yield* this.#add.answer(job) : undefined;
      return { receipt: held ?? { id: id as string, deduplicated: true } };
    }
    // The id was generated from an ancestor's: an ended job with it belonged to a flow that has ended.
    const before = given.id === undefined && id !== undefined ? this.#add.taken({ queue: job.queue, id }) : undefined;
    if (before?.key[0] === "finished") this.#add.renew(before);
    return { job };
  }

  *bind(): Program<void> {
    const { placed, receipts } = this.#add;
    const existing = yield* this.#existingChildren();
    this.#bound = this.#plan.bind(placed, receipts, existing);
    this.#add.placed = this.#bound.placed;
    for (const job of this.#bound.joined) this.#add.change(existing.get(memberName(job)) ?? job, job);
  }

  /**
   * Marks the lease entries of running jobs that become children, so that their records in the flow are updated when
   * they end (see `isPlain`).
   */
  *save(): Program<void> {
    const leases = yield* this.#add.tx.leases();
    // All entries are found first, because changing a lease invalidates the index of all leases.
    const runs = this.#bound?.joined.map(({ key }) => leases.holderOf(key));
    for (const { worker, held } of runs?.filter((run) => run !== undefined) ?? [])
      if (held.plain) leases.amend(worker, held.token, ({ plain: _, ...rest }) => rest);
  }

  *stored(): Program<void> {
    if (!this.#bound) return;
    yield* createChildren(this.#bound.families);
    yield* settleEnded(this.#add.tx, this.#bound.ended);
  }

  /**
   * Returns an id for a child that has none: computed from the id of its nearest ancestor, so that a repeated add finds
   * the child.
   */
  #idBelow(index: number, idOf: (anchor: number) => string | undefined): string | undefined {
    const anchor = this.#plan.anchorOf(index);
    const id = anchor && idOf(anchor.index);
    if (!anchor || id === undefined) return undefined;
    const { queue } = this.#add.jobs[anchor.index] as NewJob;
    return childId({ queue, id }, anchor.position, this.#add.tx.tagEnd);
  }

  /** Reads the existing jobs that a new parent has as children. */
  *#existingChildren(): Program<ReadonlyMap<string, StoredJob>> {
    const { jobs, receipts } = this.#add;
    const asked = jobs.flatMap(({ queue }, index) => {
      const parent = this.#plan.parentOf(index);
      const { id, deduplicated } = receipts[index] as EnqueueReceipt;
      return parent === undefined || !deduplicated || receipts[parent]?.deduplicated ? [] : { queue, id };
    });
    const existing = yield* locateAll(asked);
    for (const [name, job] of existing) existing.set(name, this.#add.changed(job) ?? job);
    return existing;
  }
}

/** The number of unfinished children of a waiting parent, stored under the parent's id. */
export interface Family {
  readonly pending: number;
}

/** A child's record under its parent: pending at first, then the child's outcome, which is set once (R25). */
export interface Member {
  readonly pending?: true | undefined;
  readonly outcome?: ChildOutcome | undefined;
}

/** The records of waiting parents in a queue, by the parent's id. */
const families = (queue: string) => kind<Family>("family", queue);

/** The records of a parent's children, by their queue and id. */
export const membersOf = (parent: Pick<StoredJob, "queue" | "id">) => kind<Member>("member", parent.queue, parent.id);

/** Deletes the records of a parent's children. Unfinished children continue without the parent. */
function* removeFamily(parent: Pick<StoredJob, "queue" | "id">): Program<void> {
  yield* removeCells(families(parent.queue), [parent.id]);
  yield* removeRange("cells", startingWith(membersOf(parent).text));
}

/** Stores a record for each child of each new parent. `waiting`: the children by `memberName`. */
function* createChildren(waiting: ReadonlyMap<StoredJob, readonly string[]>): Program<void> {
  for (const [parent, children] of waiting) {
    yield* putCells(families(parent.queue), [[parent.id, { pending: children.length }]]);
    yield* putCells(
      membersOf(parent),
      children.map((name) => [name, { pending: true }] as const),
    );
  }
}

/** A child that had ended, and is kept, when its parent was added. */
export interface EndedChild {
  readonly parent: Parent;
  readonly job: StoredJob;
}

/** Records the outcomes of children that had ended before their parent was added. */
function* settleEnded(tx: Transaction, children: readonly EndedChild[]): Program<void> {
  for (const { parent, job } of children) {
    const { error, result } = job;
    const ending = { state: endStateOf(job.key), ...(error && { error }), ...(result !== undefined && { result }) };
    yield* settleFamily(tx, parent, [{ job, ending, onFailure: parent.onFailure }]);
  }
}

interface EndOfChild {
  readonly job: StoredJob;
  readonly ending: Ending;
  readonly onFailure: ChildFailure;
}

/**
 * Records the outcomes of ended children (R25), once per child. A parent whose children have all ended becomes ready; a
 * parent whose child failed ends as well, unless the child's `onFailure` is `ignore`.
 */
function* settleMembers(
  tx: Transaction,
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
  for (const { parent, children } of byParent.values()) yield* settleFamily(tx, parent, children);
}

function* settleFamily(tx: Transaction, parent: Parent, children: readonly EndOfChild[]): Program<void> {
  const family = yield* getCell(families(parent.queue), parent.id);
  if (!family) return;
  const names = children.map(({ job }) => memberName(job));
  const before = yield* getCells(membersOf(parent), names);
  const settled = children.filter((_, index) => before[index]?.pending);
  // A child that was retried has ended again.
  if (settled.length === 0) return;
  const left: Family = { pending: family.pending - settled.length };
  yield* putCells(
    membersOf(parent),
    settled.map(({ job, ending }) => [memberName(job), { outcome: outcomeOf(job, ending) } satisfies Member] as const),
  );
  yield* putCells(families(parent.queue), [[parent.id, left]]);
  const [record] = yield* locate([parent]);
  if (record?.key[0] !== "blocked") return;
  const failed = settled.find(({ ending, onFailure }) => ending.state !== "completed" && onFailure === "fail");
  if (failed)
    yield* endJobs(tx, [
      { job: record, ending: { state: "failed", error: childFailed(failed.job, failed.ending.state) } },
    ]);
  else if (left.pending === 0) yield* moveEachJob(tx, [record], returned);
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
 * Deletes the children's records of ended parents. Keeps them while an operator can retry the parent (R25); they are
 * then deleted with it.
 */
function* disband(tx: Transaction, ends: readonly End[]): Program<void> {
  for (const { job, ending, trace = true } of ends) {
    if (!job.hasChildren) continue;
    const { keep } = yield* tx.settings(job.queue);
    const canBeRetried = trace && ending.state !== "completed" && keepOf(job, keep, ending.state) > 0;
    if (!canBeRetried) yield* removeFamily(job);
  }
}

/** Returns the outcomes of a parent's children, in the order of their names. */
function* outcomes(parent: StoredJob): Program<readonly ChildOutcome[]> {
  const cells = yield* listCells(membersOf(parent), LIMITS.flowJobs);
  return cells.flatMap(({ value }) => value.outcome ?? []);
}

/** Creates the error of a parent whose child failed or was cancelled. */
const childFailed = (child: StoredJob, state: EndState): StoredError => ({
  code: "child_failed",
  message: `Its child ${child.name} (${child.id}) ended as ${state}.`,
});
