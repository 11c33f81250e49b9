import { keyText, readyLane } from "../job/place.ts";
import type { JobKey, StoredJob } from "../job/record.ts";
import { isUndelayed } from "../job/transitions.ts";
import { after, scan, scanKeys } from "./operations.ts";
import { isStranded } from "./set-back.ts";
import type { Key, Program } from "./store.ts";
import type { Turn } from "./turn.ts";

/** Of so many jobs it is always worth to read the records before it is known that they are due: it saves a trip to the store. */
const LIKELY = 10;
/** Delayed jobs that one claim reads over, at most about, in search of others behind them: see `horizon` of `Turn`. */
const READ_OVER = 1_000;
/** Records read at a time in that search. */
const SEARCH = 100;

/**
 * The due jobs of a queue that nobody runs, best first, read a few at a time. The head of the line is read as if all of
 * it were due, which it mostly is; from the first job that is not, one seek finds the first key of each priority present.
 * Running jobs, which stay where they stand, are read over. The backlog is never read.
 */
export class DueJobs {
  /** The first instant at which a job that is not due yet will be, as far as was read. */
  wakeAt = Number.POSITIVE_INFINITY;
  /** A job was met whose instant was reckoned from a clock that was ahead: see `bringBack`. */
  stranded: Key | undefined;
  readonly #turn: Turn;
  readonly #lane: string;
  readonly #queue: string;
  readonly #likely: number;
  #running: Set<string> | undefined;
  /** Where to read on; undefined when the lane is exhausted. */
  #from: Key | undefined;
  /** The rank being read; undefined when the next one has to be sought. */
  #rank: number | undefined;
  #begun = false;
  #readOver = 0;

  /** @param likely how many jobs are likely to be due. */
  constructor(turn: Turn, queue: string, likely = 0) {
    this.#turn = turn;
    this.#likely = Math.max(LIKELY, likely);
    this.#queue = queue;
    this.#lane = readyLane(queue);
  }

  /** The next jobs, at most about `want`, in order; empty at the end. */
  *next(want: number): Program<readonly StoredJob[]> {
    if (!this.#running)
      this.#running = new Set((yield* this.#turn.leases()).heldOf(this.#queue).map((held) => keyText(held.key)));
    if (!this.#begun) {
      this.#begun = true;
      const due = yield* this.#head(Math.min(want, this.#likely) + this.#running.size);
      if (due.length > 0) return this.#cut(due, want);
    }
    // More at a time once a page held nothing that is due, but not before: what is not wanted is read again.
    for (let limit = want + this.#running.size; this.#from; limit = Math.max(limit, SEARCH)) {
      if (this.#rank === undefined && !(yield* this.#seek())) return [];
      const to = ["ready", this.#lane, this.#rank as number, this.#turn.horizon + 1];
      const page: readonly StoredJob[] = yield* scan("jobs", { from: this.#from, to }, limit);
      const last = page[page.length - 1];
      if (!last || page.length < limit) yield* this.#leaveRank(to);
      else if (this.#readOver < READ_OVER) this.#from = after(last.key);
      else this.#nextRank();
      const due = page.filter((job) => this.#isDue(job.key) && !this.#runs(job.key));
      if (due.length > 0) return this.#cut(due, want);
    }
    return [];
  }

  /** Reads on behind those that were wanted. */
  #cut(due: readonly StoredJob[], want: number): readonly StoredJob[] {
    if (due.length <= want) return due;
    const { key } = due[want - 1] as StoredJob;
    this.#readOn(key);
    return due.slice(0, want);
  }

  /** The first of the line, whatever their ranks, up to where one is not due. */
  *#head(limit: number): Program<readonly StoredJob[]> {
    const from = ["ready", this.#lane];
    const page: readonly StoredJob[] = yield* scan("jobs", { from, to: after(from) }, limit);
    const stop = page.findIndex(({ key }) => !this.#reaches(key));
    const later = page[stop];
    const last = page[page.length - 1];
    if (later) {
      this.#skip(later.key);
    } else if (last && page.length === limit) {
      this.#readOn(last.key);
    } else this.#from = undefined;
    return (later ? page.slice(0, stop) : page).filter(({ key }) => this.#isDue(key) && !this.#runs(key));
  }

  #readOn(key: JobKey): void {
    this.#from = after(key);
    this.#rank = key[2];
  }

  /** Nothing more is due of the rank of this job, which will be later. */
  #skip(key: JobKey): void {
    this.#from = ["ready", this.#lane, key[2] + 1];
  }

  #runs(key: JobKey): boolean {
    // Mostly nothing runs that is read here, and spelling a key is dear.
    return this.#running?.size ? this.#running.has(keyText(key)) : false;
  }

  /** Finds the first rank at or after the cursor that has a due job. */
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
      this.#skip(key);
    }
    this.#from = undefined;
    return false;
  }

  /** All that is due of this rank was read: note when its next job will be, go on with the next rank. */
  *#leaveRank(to: Key): Program<void> {
    const rank = this.#rank as number;
    const [key] = yield* scanKeys("jobs", { from: to, to: ["ready", this.#lane, rank + 1] }, 1);
    if (key && this.#reaches(key)) {
      this.#from = key;
      return;
    }
    this.#nextRank();
  }

  #nextRank(): void {
    this.#from = ["ready", this.#lane, (this.#rank as number) + 1];
    this.#rank = undefined;
  }

  /**
   * A job that nobody delayed and that is not due yet shows that the clock was set back since: it shall not wait out the
   * jump (R23), so this turn looks as far ahead as that job.
   */
  #reaches(key: JobKey): boolean {
    if (key[3] <= this.#turn.horizon) return true;
    if (!isUndelayed(key)) {
      this.#await(key);
      return false;
    }
    this.#turn.horizon = key[3];
    return true;
  }

  /** Between `now` and the horizon only what nobody delayed is due. */
  #isDue(key: JobKey): boolean {
    if (key[3] <= this.#turn.now || isUndelayed(key)) return true;
    this.#readOver++;
    this.#await(key);
    return false;
  }

  /** Notes when a delayed job will be due. A running one keeps its key until its attempt ends. */
  #await(key: JobKey): void {
    const stranded = isStranded(key, this.#turn.now) && !this.#runs(key);
    if (stranded) {
      this.stranded ??= key;
      this.#turn.setBack = true;
    }
    this.wakeAt = Math.min(this.wakeAt, stranded ? this.#turn.now : key[3]);
  }
}
