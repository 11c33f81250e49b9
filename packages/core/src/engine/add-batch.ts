import type { StoredJob } from "../job/job-record.ts";
import { memberName } from "../job/job-reference.ts";
import type { NewJob } from "../job/new-job.ts";
import { readyStored } from "../job/transitions.ts";
import { locate, type Move, type Named } from "./job-writer.ts";
import type { Program } from "./store.ts";
import type { Transaction } from "./transaction.ts";
import type { EnqueueReceipt } from "./verbs.ts";

/** A plugin's part in one add. The engine calls its methods in this order. */
export interface AddPart {
  /** The indexes of the jobs, in the order in which they are to be added. */
  readonly order?: readonly number[];
  /** Jobs that may exist already, beside those with ids of the caller's: they are looked up together. */
  readonly mayExist?: readonly Named[];
  /** Adds the next job: answers its receipt, or the job as it is to be added. */
  next?(index: number, job: NewJob): Program<{ readonly receipt: EnqueueReceipt } | { readonly job: NewJob }>;
  /** Answers for a job that is not to be stored, because another stands for it; undefined: it is to be stored. */
  answer?(job: NewJob): Program<EnqueueReceipt | undefined>;
  /** A job is to be stored. */
  added?(job: StoredJob): void;
  /** All receipts are known, nothing is written yet: may change what is to be stored. */
  bind?(): Program<void>;
  /** Writes its own records, before the jobs are stored. */
  save?(): Program<void>;
  /** The jobs are stored. */
  stored?(): Program<void>;
}

/** One add in the making: what it stores, and what it changes of jobs that stand. */
export class Adding {
  readonly tx: Transaction;
  readonly jobs: readonly NewJob[];
  /** One for each job, as far as they are known. */
  readonly receipts: EnqueueReceipt[] = [];
  /** Jobs to be stored. */
  placed: StoredJob[] = [];
  parts: readonly AddPart[] = [];
  /** Ended jobs whose ids are to be given to new ones. */
  readonly stale: StoredJob[] = [];
  /** Jobs that stand and are changed, by `memberName`. */
  readonly #changes = new Map<string, Move>();
  /** Jobs that stand, or (undefined) that this add stores, by `memberName`. */
  #taken = new Map<string, StoredJob | undefined>();

  constructor(tx: Transaction, jobs: readonly NewJob[]) {
    this.tx = tx;
    this.jobs = jobs;
  }

  /** Looks up which of the ids are taken. */
  *load(): Program<void> {
    const own = this.jobs.flatMap(({ queue, id }) => (id === undefined ? [] : { queue, id }));
    this.#taken = yield* locateAll([...own, ...this.parts.flatMap(({ mayExist = [] }) => mayExist)]);
  }

  /** The job that had this id when the add began; undefined also where this add took it. */
  taken(named: Named): StoredJob | undefined {
    return this.#taken.get(memberName(named));
  }

  /** Takes an id whose job has ended and is no longer kept. */
  renew(ended: StoredJob): void {
    this.stale.push(ended);
    this.#taken.delete(memberName(ended));
  }

  /** A job as this add leaves it. */
  *standing(named: Named): Program<StoredJob | undefined> {
    const own = this.placed.find((job) => job.queue === named.queue && job.id === named.id);
    return own ?? this.changed(named) ?? (yield* locate([named]))[0];
  }

  /** A job that stood before, as this add has changed it. */
  changed(named: Named): StoredJob | undefined {
    return this.#changes.get(memberName(named))?.job;
  }

  /** Changes a job that is to be stored, or that is stored already. */
  change(before: StoredJob, job: StoredJob): void {
    const index = this.placed.indexOf(before);
    if (index >= 0) this.placed[index] = job;
    else {
      const name = memberName(job);
      this.#changes.set(name, { before: this.#changes.get(name)?.before ?? before, job });
    }
  }

  get moves(): readonly Move[] {
    return [...this.#changes.values()];
  }

  /** Adds a job, unless another stands for it. */
  *add(job: NewJob): Program<EnqueueReceipt> {
    const { queue, id } = job;
    const name = id !== undefined && memberName({ queue, id });
    if (name && this.#taken.has(name)) return { id, deduplicated: true };
    const receipt = (yield* this.answer(job)) ?? this.store(job);
    if (name && !receipt.deduplicated) this.#taken.set(name, undefined);
    return receipt;
  }

  /** Asks the plugins for the receipt of a job that is not to be stored. */
  *answer(job: NewJob): Program<EnqueueReceipt | undefined> {
    for (const part of this.parts) {
      const receipt = part.answer && (yield* part.answer(job));
      if (receipt) return receipt;
    }
    return undefined;
  }

  store(job: NewJob): EnqueueReceipt {
    const stored = storedNow(this.tx, job);
    this.placed.push(stored);
    for (const part of this.parts) part.added?.(stored);
    return { id: stored.id, deduplicated: false };
  }
}

/** A new job as it is first stored. */
export const storedNow = (tx: Transaction, job: NewJob): StoredJob =>
  readyStored(job, tx.nextPosition(job.delayMs), tx.now);

/** Finds those of these jobs that exist, kept ones that have ended included, by `memberName`. */
export function* locateAll(asked: readonly Named[]): Program<Map<string, StoredJob>> {
  const jobs = yield* locate(asked);
  return new Map(jobs.flatMap((job) => (job ? [[memberName(job), job]] : [])));
}
