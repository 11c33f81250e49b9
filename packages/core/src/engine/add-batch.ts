import type { StoredJob } from "../job/job-record.ts";
import { memberName } from "../job/job-reference.ts";
import type { NewJob } from "../job/new-job.ts";
import { readyStored } from "../job/transitions.ts";
import { locate, type Move, type Named } from "./job-writer.ts";
import type { Program } from "./store.ts";
import type { Transaction } from "./transaction.ts";
import type { EnqueueReceipt } from "./verbs.ts";

/** A plugin's part in one add. The engine calls the methods in the order of their declaration. */
export interface AddPart {
  /** Indices of the jobs in the order in which to add them. */
  readonly order?: readonly number[];
  /**
   * Jobs that may exist already, in addition to those with ids from the caller. The engine reads all of them in one
   * batch.
   */
  readonly mayExist?: readonly Named[];
  /**
   * Handles the job at this index. Returns a receipt if it is not to be added; otherwise the job to add, possibly
   * changed.
   */
  next?(index: number, job: NewJob): Program<{ readonly receipt: EnqueueReceipt } | { readonly job: NewJob }>;
  /**
   * Returns the receipt of an existing job that takes the place of this new one; undefined if the new job is to be
   * stored.
   */
  answer?(job: NewJob): Program<EnqueueReceipt | undefined>;
  /** Called with the record of each job that will be stored. */
  added?(job: StoredJob): void;
  /** Called when all receipts are known, before any write. May change the jobs to store. */
  bind?(): Program<void>;
  /** Writes the plugin's records, before the jobs are stored. */
  save?(): Program<void>;
  /** Called after the jobs are stored. */
  stored?(): Program<void>;
}

/** An add in progress: the jobs that it will store, and the existing jobs that it changes. */
export class Adding {
  readonly tx: Transaction;
  readonly jobs: readonly NewJob[];
  /** Receipts so far, by index of the job. */
  readonly receipts: EnqueueReceipt[] = [];
  /** Jobs to be stored, by `memberName`. */
  placed = new Map<string, StoredJob>();
  parts: readonly AddPart[] = [];
  /** Ended jobs whose ids new jobs take over. */
  readonly stale: StoredJob[] = [];
  /** Existing jobs that the add changes, before and after, by `memberName`. */
  readonly #changes = new Map<string, Move>();
  /** Jobs that had a taken id when the add began, by `memberName`. Undefined as value: this add stores the job. */
  #taken = new Map<string, StoredJob | undefined>();

  constructor(tx: Transaction, jobs: readonly NewJob[]) {
    this.tx = tx;
    this.jobs = jobs;
  }

  /** Reads which of the new jobs' ids are taken by existing jobs. */
  *load(): Program<void> {
    const own = this.jobs.flatMap(({ queue, id }) => (id === undefined ? [] : { queue, id }));
    this.#taken = yield* locateAll([...own, ...this.parts.flatMap(({ mayExist = [] }) => mayExist)]);
  }

  /** Returns the job that had this id when the add began; undefined if there was none. */
  taken(named: Named): StoredJob | undefined {
    return this.#taken.get(memberName(named));
  }

  /** Frees the id of an ended job for a new one. The add deletes the ended job. */
  renew(ended: StoredJob): void {
    this.stale.push(ended);
    this.#taken.delete(memberName(ended));
  }

  /** Returns a new or existing job as it will be after this add; undefined if there is none. */
  *standing(named: Named): Program<StoredJob | undefined> {
    return this.placed.get(memberName(named)) ?? this.changed(named) ?? (yield* locate([named]))[0];
  }

  /** Returns an existing job with the changes of this add; undefined if the add does not change it. */
  changed(named: Named): StoredJob | undefined {
    return this.#changes.get(memberName(named))?.job;
  }

  /** Replaces the record of a new job, or changes an existing one. `before`: the record until now. */
  change(before: StoredJob, job: StoredJob): void {
    const name = memberName(job);
    if (this.placed.has(name)) this.placed.set(name, job);
    else this.#changes.set(name, { before: this.#changes.get(name)?.before ?? before, job });
  }

  /** Adds a record to the jobs that this add will store. */
  place(job: StoredJob): void {
    this.placed.set(memberName(job), job);
  }

  get moves(): readonly Move[] {
    return [...this.#changes.values()];
  }

  /** Adds a job and returns its receipt. If an existing job takes its place, nothing is stored. */
  *add(job: NewJob): Program<EnqueueReceipt> {
    const { queue, id } = job;
    const name = id !== undefined && memberName({ queue, id });
    if (name && this.#taken.has(name)) return { id, deduplicated: true };
    const receipt = (yield* this.answer(job)) ?? this.store(job);
    if (name && !receipt.deduplicated) this.#taken.set(name, undefined);
    return receipt;
  }

  /** Returns the receipt of an existing job that takes the place of this new one, by the first plugin that has one. */
  *answer(job: NewJob): Program<EnqueueReceipt | undefined> {
    for (const part of this.parts) {
      const receipt = part.answer && (yield* part.answer(job));
      if (receipt) return receipt;
    }
    return undefined;
  }

  store(job: NewJob): EnqueueReceipt {
    const stored = storedNow(this.tx, job);
    this.place(stored);
    for (const part of this.parts) part.added?.(stored);
    return { id: stored.id, deduplicated: false };
  }
}

/** Returns the record of a new job that is placed now, or after its delay. */
export const storedNow = (tx: Transaction, job: NewJob): StoredJob =>
  readyStored(job, tx.nextPosition(job.delayMs), tx.now);

/** Reads those of the named jobs that exist, including kept ended ones. The map is by `memberName`. */
export function* locateAll(asked: readonly Named[]): Program<Map<string, StoredJob>> {
  const jobs = yield* locate(asked);
  return new Map(jobs.flatMap((job) => (job ? [[memberName(job), job]] : [])));
}
