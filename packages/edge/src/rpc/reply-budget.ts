import type { ChildOutcome, JobRecord, Schedule } from "@quayside/core";
import {
  type CellKind,
  type ChildrenPage,
  type FoundJobs,
  get,
  getJob,
  type Held,
  type LeaseRecord,
  membersOf,
  type Program,
  type ReplyRoom,
  recurrencesOf,
  type StoredJob,
  scan,
  startingWith,
  type Transaction,
  toSchedule,
  utf8Bytes,
} from "@quayside/core/engine";

/** Maximum bytes of JSON of a page or of an exchange's reply. RPC accepts 32 MiB per call. */
export const REPLY_BYTES = 8 * 1024 * 1024;
/** Bytes added to the size of each job of a reply, because a job in a reply has some fields more than its stored record. */
const MORE_BYTES = 200;
/** Number of values that are read at once. Each may have a result or payload of 128 KiB. */
const STEP = 256;
/** Maximum number of child outcomes or recurrences in a reply. */
const ROWS = 4_000;
/** Maximum number of jobs that one exchange claims. */
const CLAIMED = 3_000;
/**
 * Approximate maximum number of running jobs per store. A claim must read past the running jobs of its queue within
 * 10,000 records.
 */
const RUNNING = 5_000;
/**
 * Approximate maximum bytes of job keys and ids in a lease. With reports (1 MiB), a lease is one row, which holds at
 * most 2 MB.
 */
const LEASE_BYTES = 800_000;
/** Bytes added per lease entry, for its fields other than key and id. */
const HELD_BYTES = 100;
/**
 * Minimum of the remaining bytes at which another job is claimed. With less, no job might fit, and the worker would
 * repeat the exchange without end.
 */
const LONGEST_ENTRY = 10_000;

/** Limits a reply that leaves the process to 8 MiB and to a number of values. Implements `ReplyRoom`. */
export class Reply implements ReplyRoom {
  #bytes = REPLY_BYTES;
  #rows = ROWS;
  #claimed = 0;
  #leaseBytes = Number.POSITIVE_INFINITY;

  atMost(bytes: number | undefined): void {
    if (bytes !== undefined) this.#bytes = Math.min(this.#bytes, bytes);
  }

  full(held: readonly Held[], leases: readonly LeaseRecord[]): boolean {
    this.#leaseBytes = LEASE_BYTES;
    for (const job of held) this.#leaseBytes -= heldBytes(job);
    return this.#leaseBytes < LONGEST_ENTRY || leases.reduce((jobs, lease) => jobs + lease.held.length, 0) >= RUNNING;
  }

  refuses(record: object): boolean {
    this.#bytes -= utf8Bytes(JSON.stringify(record), 0) + MORE_BYTES;
    return this.#bytes < 0;
  }

  refusesClaim(job: StoredJob): boolean {
    this.#leaseBytes -= heldBytes(job);
    return this.refuses(job) || this.#leaseBytes < 0 || ++this.#claimed > CLAIMED;
  }

  *fitting(held: readonly Held[]): Program<readonly Held[]> {
    const jobs = yield* get(
      "jobs",
      held.map(({ key }) => key),
    );
    const end = jobs.findIndex((job) => job && this.refuses(job));
    return end < 0 ? held : held.slice(0, end);
  }

  /** Returns the jobs of a queue with these ids: see `Pages.jobsPage`. */
  *jobs(tx: Transaction, queue: string, ids: readonly string[], bytes?: number): Program<FoundJobs> {
    this.atMost(bytes);
    const jobs: JobRecord[] = [];
    for (const [index, id] of ids.entries()) {
      const job = yield* getJob(tx, queue, id);
      if (!job) continue;
      if (this.refuses(job) && jobs.length > 0) return { jobs, left: ids.slice(index) };
      jobs.push(job);
    }
    return { jobs };
  }

  /** Returns outcomes of a parent's children, in the order of their names, after `after`. */
  *children(parent: { readonly queue: string; readonly id: string }, after = ""): Program<ChildrenPage> {
    const children: ChildOutcome[] = [];
    for (;;) {
      const limit = Math.min(STEP, this.#rows);
      this.#rows -= limit;
      const cells = yield* cellsAfter(membersOf(parent), after, limit);
      for (const { name, value } of cells) {
        if (value.outcome) {
          if (this.refuses(value.outcome)) return { children, moreChildren: after };
          children.push(value.outcome);
        }
        after = name;
      }
      if (limit > 0 && cells.length < limit) return { children };
      if (limit < STEP) return { children, moreChildren: after };
    }
  }

  /** Returns recurrences of a queue, in the order of their keys, after `after`; an empty list at the end. */
  *schedules(queue: string, after = ""): Program<readonly Schedule[]> {
    const found: Schedule[] = [];
    for (let last = after; this.#rows > 0; this.#rows -= STEP) {
      const cells = yield* cellsAfter(recurrencesOf(queue), last, STEP);
      for (const { name, value } of cells) {
        if (this.refuses(value) && found.length > 0) return found;
        found.push(toSchedule(queue, name, value));
        last = name;
      }
      if (cells.length < STEP) break;
    }
    return found;
  }
}

/** Returns the bytes that a running job adds to its worker's lease. */
function heldBytes({ key, id, group }: Pick<StoredJob, "key" | "id"> & { readonly group?: unknown }): number {
  return utf8Bytes(JSON.stringify([key, id, group]), 0) + HELD_BYTES;
}

/** Reads values of one kind in the order of their names, beginning after the name `after`. */
function* cellsAfter<V>(
  of: CellKind<V>,
  after: string,
  limit: number,
): Program<readonly { readonly name: string; readonly value: V }[]> {
  const { from, to } = startingWith(of.text);
  const cells = yield* scan("cells", { from: after === "" ? from : [of.text, `${after}\0`], to }, limit);
  return cells.map(({ key, value }) => ({ name: key[1], value: value as V }));
}
