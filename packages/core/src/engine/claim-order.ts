import { keyText, readyLane } from "../job/job-keys.ts";
import type { JobKey, StoredJob } from "../job/job-record.ts";
import { isUndelayed } from "../job/transitions.ts";
import { isStranded } from "./clock-set-back.ts";
import type { Key, Program } from "./store.ts";
import { after, get, type Range, scan, scanKeys } from "./store-operations.ts";
import type { Transaction } from "./transaction.ts";

/**
 * Maximum number of jobs that are read with their records before it is certain that they are due. Saves a read if they
 * are.
 */
const LIKELY = 10;
/**
 * Approximate maximum number of delayed jobs that one claim reads past to find due jobs behind them: see `horizon` of
 * `Transaction`.
 */
const READ_OVER = 1_000;
/** Number of records per read while a claim searches past delayed jobs. */
const SEARCH = 100;

type Keyed = Pick<StoredJob, "key"> & Partial<StoredJob>;

/**
 * Finds the due jobs of a queue that no worker runs, in claim order, a few per read. Reads the first jobs as if all
 * were due, which is usual; after a job that is not due, one index search finds the first key of each priority. Skips
 * running jobs, which keep their position. Never reads the whole queue.
 */
export class DueJobs {
  /** The earliest time at which one of the delayed jobs that were read will be due; infinite if none was read. */
  wakeAt = Number.POSITIVE_INFINITY;
  /** The key of a job whose time was computed from a clock that was ahead: see `bringBack`. */
  stranded: Key | undefined;
  readonly #tx: Transaction;
  readonly #lane: string;
  readonly #queue: string;
  readonly #likely: number;
  /** Running jobs that were not reached yet, by `keyText`. */
  readonly #running = new Set<string>();
  /** Key at which to continue reading; undefined at the end of the lane. */
  #from: Key | undefined;
  /** The rank that is being read. Undefined: the next rank with a due job must be found. */
  #rank: number | undefined;
  #begun = false;
  /** Jobs read but not returned yet, kept to avoid reading them again. */
  #unused: Keyed[] = [];
  #readOver = 0;

  /**
   * Creates the reader of a queue.
   *
   * @param likely expected number of due jobs.
   */
  constructor(tx: Transaction, queue: string, likely = 0) {
    this.#tx = tx;
    this.#likely = Math.max(LIKELY, likely);
    this.#queue = queue;
    this.#lane = readyLane(queue);
  }

  /** Returns the next due jobs, at most `want`, in order; empty at the end. */
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

  /** Reads a range. If many jobs run, reads their keys instead of their records, which may be large. */
  *#scan(range: Range, limit: number): Program<readonly Keyed[]> {
    return this.#running.size > SEARCH
      ? (yield* scanKeys("jobs", range, limit)).map((key) => ({ key }))
      : yield* scan("jobs", range, limit);
  }

  /** Reads pages until one has due jobs, and returns these. Empty at the end of the lane. */
  *#page(want: number): Program<Keyed[]> {
    if (!this.#begun) {
      this.#begun = true;
      for (const held of (yield* this.#tx.leases()).heldOf(this.#queue)) this.#running.add(keyText(held.key));
      const due = yield* this.#head(Math.min(want, this.#likely) + this.#running.size);
      if (due[0]) return due;
    }
    // Larger pages only after a page without due jobs, because records may be large.
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

  /** Reads the first jobs of the queue, of any rank, up to one that is not due. */
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

  /**
   * Returns the due jobs of a page that no worker runs. Skips the costly text of the keys if no job runs, which is
   * usual.
   */
  #due(page: readonly Keyed[]): Keyed[] {
    return page.filter(
      ({ key }) => this.#isDue(key) && !(this.#running.size > 0 && this.#running.delete(keyText(key))),
    );
  }

  /** Continues after this rank, which has no more due jobs. */
  #leave(rank: number): void {
    this.#seekFrom(["ready", this.#lane, rank + 1]);
  }

  /** Sets the key from which to search for the next rank with a due job. */
  #seekFrom(key: Key): void {
    this.#from = key;
    this.#rank = undefined;
  }

  /**
   * Finds the first rank at or after the current key that has a due job. Records when the first job of each earlier
   * rank is due.
   */
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
   * Returns whether a job is due. A job without a delay that is not due shows that the clock was set back: the horizon
   * is extended to it, so that it does not wait (R23).
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

  /** Returns whether a job is due now. Between `now` and the horizon, only jobs without a delay are due. */
  #isDue(key: JobKey): boolean {
    if (key[3] <= this.#tx.now || isUndelayed(key)) return true;
    this.#readOver++;
    this.#await(key);
    return false;
  }

  /**
   * Lowers `wakeAt` to the time at which a delayed job will be due. Ignores running jobs, which keep their key until
   * their attempt ends.
   */
  #await(key: JobKey): void {
    const stranded = isStranded(key, this.#tx.now) && !this.#running.has(keyText(key));
    if (stranded) {
      this.stranded ??= key;
      this.#tx.setBack = true;
    }
    this.wakeAt = Math.min(this.wakeAt, stranded ? this.#tx.now : key[3]);
  }
}
