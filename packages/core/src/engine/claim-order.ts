import { keyText, readyLane } from "../job/job-keys.ts";
import type { JobKey, StoredJob } from "../job/job-record.ts";
import { isUndelayed } from "../job/transitions.ts";
import { isStranded } from "./clock-set-back.ts";
import type { Key, Program } from "./store.ts";
import { after, get, type Range, scan, scanKeys } from "./store-operations.ts";
import type { Transaction } from "./transaction.ts";

/** Of so many jobs it is always worth to read the records before it is known that they are due: it saves a trip to the store. */
const LIKELY = 10;
/** Delayed jobs that one claim reads over, at most about, in search of others behind them: see `horizon` of `Transaction`. */
const READ_OVER = 1_000;
/** Records read at a time in that search. */
const SEARCH = 100;

type Keyed = Pick<StoredJob, "key"> & Partial<StoredJob>;

/**
 * The due jobs of a queue that no worker runs, best first, read a few at a time. The head of the line is read as if all of
 * it were due, which it mostly is; from the first job that is not, one seek finds the first key of each priority present.
 * Running jobs, which stay where they stand, are read over. The backlog is never read.
 */
export class DueJobs {
  /** The first instant at which a job that is not due yet will be, as far as was read. */
  wakeAt = Number.POSITIVE_INFINITY;
  /** A job was met whose instant was reckoned from a clock that was ahead: see `bringBack`. */
  stranded: Key | undefined;
  readonly #tx: Transaction;
  readonly #lane: string;
  readonly #queue: string;
  readonly #likely: number;
  /** The running jobs that were not met yet, by `keyText`. */
  readonly #running = new Set<string>();
  /** Where to read on; undefined when the lane is exhausted. */
  #from: Key | undefined;
  /** The rank being read; undefined when the next one has to be sought. */
  #rank: number | undefined;
  #begun = false;
  /** Read already, and not answered yet: to read them again would cost a page for each job that is set aside. */
  #unused: Keyed[] = [];
  #readOver = 0;

  /** @param likely how many jobs are likely to be due. */
  constructor(tx: Transaction, queue: string, likely = 0) {
    this.#tx = tx;
    this.#likely = Math.max(LIKELY, likely);
    this.#queue = queue;
    this.#lane = readyLane(queue);
  }

  /** The next jobs, at most `want`, in order; empty at the end. */
  *next(want: number): Program<readonly StoredJob[]> {
    if (!this.#unused[0]) this.#unused = yield* this.#page(want);
    const jobs = this.#unused.splice(0, want);
    return (
      jobs[0]?.id === undefined
        ? yield* get(
            "jobs",
            jobs.map(({ key }) => key),
          )
        : jobs
    ) as readonly StoredJob[];
  }

  /** Where many run, their keys are read over, and not their records: each may be large. */
  *#scan(range: Range, limit: number): Program<readonly Keyed[]> {
    return this.#running.size > SEARCH
      ? (yield* scanKeys("jobs", range, limit)).map((key) => ({ key }))
      : yield* scan("jobs", range, limit);
  }

  /** Reads on until a page holds due jobs; empty at the end. */
  *#page(want: number): Program<Keyed[]> {
    if (!this.#begun) {
      this.#begun = true;
      for (const held of (yield* this.#tx.leases()).heldOf(this.#queue)) this.#running.add(keyText(held.key));
      const due = yield* this.#head(Math.min(want, this.#likely) + this.#running.size);
      if (due[0]) return due;
    }
    // More at a time once a page held nothing that is due, but not before: each may be large.
    for (let limit = want + this.#running.size; this.#from; limit = Math.max(limit, SEARCH)) {
      if (this.#rank === undefined && !(yield* this.#seek())) return [];
      const to = ["ready", this.#lane, this.#rank as number, this.#tx.horizon + 1];
      const page: readonly Keyed[] = yield* this.#scan({ from: this.#from, to }, limit);
      const last = page[limit - 1];
      if (!last) this.#seekFrom(to);
      else if (this.#readOver < READ_OVER) this.#from = after(last.key);
      else this.#leave(this.#rank as number);
      const due = this.#due(page);
      if (due[0]) return due;
    }
    return [];
  }

  /** The first of the line, whatever their ranks, up to where one is not due. */
  *#head(limit: number): Program<Keyed[]> {
    const from = ["ready", this.#lane];
    const page = yield* this.#scan({ from, to: after(from) }, limit);
    const stop = page.findIndex(({ key }) => !this.#reaches(key));
    const later = page[stop];
    if (later) {
      this.#leave(later.key[2]);
      return this.#due(page.slice(0, stop));
    }
    const last = page[limit - 1];
    if (last) {
      this.#from = after(last.key);
      this.#rank = last.key[2];
    }
    return this.#due(page);
  }

  /** Returns the due jobs of a page that no worker runs. Mostly nothing runs that is read here, and spelling a key is costly. */
  #due(page: readonly Keyed[]): Keyed[] {
    return page.filter(
      ({ key }) => this.#isDue(key) && !(this.#running.size > 0 && this.#running.delete(keyText(key))),
    );
  }

  /** Nothing more is due of this rank. */
  #leave(rank: number): void {
    this.#seekFrom(["ready", this.#lane, rank + 1]);
  }

  /** The rank to read next is that of the first due job at or after this key. */
  #seekFrom(key: Key): void {
    this.#from = key;
    this.#rank = undefined;
  }

  /** Finds the first rank at or after the cursor that has a due job; notes when the first job of each rank before it is due. */
  *#seek(): Program<boolean> {
    const end = after(["ready", this.#lane]);
    while (this.#from) {
      const [key] = yield* scanKeys("jobs", { from: this.#from, to: end }, 1);
      if (!key) break;
      if (this.#reaches(key)) {
        this.#rank = key[2];
        this.#from = key;
        return true;
      }
      this.#leave(key[2]);
    }
    this.#from = undefined;
    return false;
  }

  /**
   * A job that has no delay and is not due yet shows that the clock was set back since: it shall not wait out the
   * jump (R23), so this transaction looks as far ahead as that job.
   */
  #reaches(key: JobKey): boolean {
    if (key[3] <= this.#tx.horizon) return true;
    if (!isUndelayed(key)) {
      this.#await(key);
      return false;
    }
    this.#tx.horizon = key[3];
    return true;
  }

  /** Between `now` and the horizon only jobs without a delay are due. */
  #isDue(key: JobKey): boolean {
    if (key[3] <= this.#tx.now || isUndelayed(key)) return true;
    this.#readOver++;
    this.#await(key);
    return false;
  }

  /** Notes when a delayed job will be due. A running one keeps its key until its attempt ends. */
  #await(key: JobKey): void {
    const stranded = isStranded(key, this.#tx.now) && !this.#running.has(keyText(key));
    if (stranded) {
      this.stranded ??= key;
      this.#tx.setBack = true;
    }
    this.wakeAt = Math.min(this.wakeAt, stranded ? this.#tx.now : key[3]);
  }
}
