import type { ChildOutcome, Schedule } from "@quayside/core";
import {
  type CellKind,
  type ChildrenPage,
  get,
  type Held,
  type LeaseRecord,
  membersOf,
  type Program,
  type ReplyRoom,
  recurrencesOf,
  type StoredJob,
  scan,
  startingWith,
  toSchedule,
  utf8Bytes,
} from "@quayside/core/engine";

/** A page of a list, or what one exchange answers, in bytes of JSON. A call over RPC takes 32 MiB. */
export const REPLY_BYTES = 8 * 1024 * 1024;
/** Jobs are shown with some fields more than they are stored with. */
const MORE_BYTES = 200;
/** Cells read at a time: each may have a result, or a payload, of 128 KiB. */
const STEP = 256;
/** Outcomes of children, or recurrences, in one reply. */
const ROWS = 4_000;
/** Jobs that one exchange claims, at most. */
const CLAIMED = 3_000;
/** Jobs of one store that run, at most about: a claim reads over those of its queue, within 10,000 records. */
const RUNNING = 5_000;
/** Keys and ids of the jobs in one lease, at most about. With their reports, of 1 MiB, it is one row, of at most 2 MB. */
const LEASE_BYTES = 800_000;
/** An entry of a lease has some fields more. */
const HELD_BYTES = 100;
/** Room that is less may be too little for any job: its worker would ask again and again. */
const LONGEST_ENTRY = 10_000;

/** See `ReplyRoom`: 8 MiB, and a bounded number of cells. For a driver in a process of its own. */
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

  /** How the children of a parent ended, in the order of their names, from behind `after` on. */
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

  /** Recurrences of a queue, in the order of their keys, from behind `after` on; none at the end. */
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

/** Bytes that a running job adds to the lease of its worker. */
function heldBytes({ key, id, group }: Pick<StoredJob, "key" | "id"> & { readonly group?: unknown }): number {
  return utf8Bytes(JSON.stringify([key, id, group]), 0) + HELD_BYTES;
}

/** Cells of a kind in the order of their names, from behind one on. */
function* cellsAfter<V>(
  of: CellKind<V>,
  after: string,
  limit: number,
): Program<readonly { readonly name: string; readonly value: V }[]> {
  const { from, to } = startingWith(of.text);
  const cells = yield* scan("cells", { from: after === "" ? from : [of.text, `${after}\0`], to }, limit);
  return cells.map(({ key, value }) => ({ name: key[1], value: value as V }));
}
