import { blockedLane, keyText, readyLane } from "../job/place.ts";
import type { JobKey, StoredJob } from "../job/record.ts";
import { blocked, EXPIRED, interruptionsOf, isExpired, isUndelayed, returned } from "../job/transitions.ts";
import { end, move } from "./door.ts";
import { after, scan, scanKeys, startingWith } from "./operations.ts";
import type { Held, Key, Program } from "./store.ts";
import type { Turn } from "./turn.ts";
import type { ClaimQueue, ExchangeRequest } from "./verbs.ts";

export interface Claimed {
  readonly jobs: readonly StoredJob[];
  /** It was interrupted before, so it is the only one. */
  readonly alone: boolean;
  /** When the next claim could succeed; infinite when nothing is known to come. */
  readonly wakeAt: number;
  readonly unknown: readonly { readonly queue: string; readonly name: string }[];
}

/** Jobs with unknown names that one claim moves out of the way, at most. */
const STEP_ASIDE = 100;
/** Jobs that come back from `blocked` in one exchange, at most. */
const RETURN_STEP = 1_000;
/** From this interruption on a job is claimed alone: it may be what kills its process. */
const ALONE_FROM = 2;

/** Takes the first due jobs of the queues, in the order given. `held` is what the worker already runs. */
export function* claim(turn: Turn, request: ExchangeRequest["claim"], held: readonly Held[]): Program<Claimed> {
  const taking = new Taking(turn, held, request.limit);
  for (const queue of request.queues) yield* fromQueue(taking, queue);
  return taking;
}

/** A claim in the making. */
class Taking implements Claimed {
  readonly turn: Turn;
  readonly jobs: StoredJob[] = [];
  readonly unknown: { queue: string; name: string }[] = [];
  wakeAt = Number.POSITIVE_INFINITY;
  alone = false;
  left: number;
  /** A job that was interrupted before and must wait until this worker runs nothing else. */
  closed: boolean;
  readonly #busy: boolean;

  constructor(turn: Turn, held: readonly Held[], limit: number) {
    this.turn = turn;
    this.left = limit;
    this.closed = held.some((entry) => entry.alone);
    this.#busy = held.length > 0;
  }

  get done(): boolean {
    return this.closed || this.left <= 0;
  }

  take(job: StoredJob): boolean {
    if (interruptionsOf(job) >= ALONE_FROM) {
      this.closed = true;
      if (this.#busy || this.jobs.length > 0) return false;
      this.alone = true;
    }
    this.jobs.push(job);
    this.left--;
    return true;
  }
}

function* fromQueue(taking: Taking, request: ClaimQueue): Program<void> {
  const { turn } = taking;
  const settings = yield* turn.settings(request.queue);
  if (settings.paused) return;
  yield* returnKnown(turn, request.queue, request.names);
  if (taking.done || request.limit === 0) {
    if (taking.left <= 0) taking.wakeAt = turn.now;
    return;
  }
  const names = request.names && new Set(request.names);
  const due = new DueJobs(turn, request.queue);
  const aside: StoredJob[] = [];
  const expired: StoredJob[] = [];
  let quota = request.limit ?? Number.POSITIVE_INFINITY;
  search: for (let want = Math.min(taking.left, quota); want > 0 && !taking.done; want = Math.min(taking.left, quota)) {
    const page = yield* due.next(want);
    if (page.length === 0) break;
    for (const job of page) {
      if (isExpired(job, turn.now)) expired.push(job);
      else if (names && !names.has(job.name)) {
        aside.push(job);
        if (aside.length >= STEP_ASIDE) {
          taking.wakeAt = turn.now;
          break search;
        }
      } else if (taking.take(job)) quota--;
      if (taking.done) break;
    }
  }
  if (taking.left <= 0 || quota <= 0) taking.wakeAt = Math.min(taking.wakeAt, turn.now);
  taking.wakeAt = Math.min(taking.wakeAt, due.wakeAt);
  yield* end(
    turn,
    expired.map((job) => ({ job, ending: { state: "failed", error: EXPIRED } })),
  );
  yield* stepAside(taking, request.queue, aside);
}

/**
 * The due jobs of a queue that nobody runs, best first, read a few at a time. One seek finds the first key of each
 * priority present; running jobs, which stay where they stand, are read over. The backlog is never read.
 */
export class DueJobs {
  /** The first instant at which a job that is not due yet will be, as far as was read. */
  wakeAt = Number.POSITIVE_INFINITY;
  readonly #turn: Turn;
  readonly #lane: string;
  readonly #queue: string;
  #running: Set<string> | undefined;
  /** Where to read on; undefined when the lane is exhausted. */
  #from: Key | undefined;
  /** The rank being read; undefined when the next one has to be sought. */
  #rank: number | undefined;

  constructor(turn: Turn, queue: string) {
    this.#turn = turn;
    this.#queue = queue;
    this.#lane = readyLane(queue);
    this.#from = ["ready", this.#lane];
  }

  /** The next jobs, at most about `want`, in order; empty at the end. */
  *next(want: number): Program<readonly StoredJob[]> {
    if (!this.#running)
      this.#running = new Set((yield* this.#turn.leases()).heldOf(this.#queue).map((held) => keyText(held.key)));
    while (this.#from) {
      if (this.#rank === undefined && !(yield* this.#seek())) return [];
      const to = ["ready", this.#lane, this.#rank as number, this.#turn.horizon + 1];
      const limit = want + this.#running.size;
      const page: readonly StoredJob[] = yield* scan("jobs", { from: this.#from, to }, limit);
      const last = page[page.length - 1];
      if (last && page.length === limit) this.#from = after(last.key);
      else yield* this.#leaveRank(to);
      const due = page.filter((job) => this.#isDue(job.key) && !this.#running?.has(keyText(job.key)));
      if (due.length > want) {
        this.#from = after((due[want - 1] as StoredJob).key);
        this.#rank = due[want - 1]?.key[2];
        return due.slice(0, want);
      }
      if (due.length > 0) return due;
    }
    return [];
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
      this.wakeAt = Math.min(this.wakeAt, key[3]);
      this.#from = ["ready", this.#lane, key[2] + 1];
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
    if (key) this.wakeAt = Math.min(this.wakeAt, key[3]);
    this.#from = ["ready", this.#lane, rank + 1];
    this.#rank = undefined;
  }

  /**
   * A job that nobody delayed and that is not due yet shows that the clock was set back since: it shall not wait out the
   * jump (R23), so this turn looks as far ahead as that job.
   */
  #reaches(key: JobKey): boolean {
    if (key[3] <= this.#turn.horizon) return true;
    if (!isUndelayed(key)) return false;
    this.#turn.horizon = key[3];
    return true;
  }

  /** Between `now` and the horizon only what nobody delayed is due. */
  #isDue(key: JobKey): boolean {
    if (key[3] <= this.#turn.now || isUndelayed(key)) return true;
    this.wakeAt = Math.min(this.wakeAt, key[3]);
    return false;
  }
}

/** Jobs that this worker has no handler for wait for one that has, out of the way of the rest (R17). */
function* stepAside(taking: Taking, queue: string, jobs: readonly StoredJob[]): Program<void> {
  if (jobs.length === 0) return;
  const { turn } = taking;
  yield* move(
    turn,
    jobs.map((job) => ({ from: job.key, job: blocked(job, "name", job.name) })),
  );
  const settings = yield* turn.settings(queue);
  const names = new Set(jobs.map((job) => job.name));
  yield* turn.configure(queue, {
    ...settings,
    blockedNames: [...new Set([...(settings.blockedNames ?? []), ...names])],
  });
  for (const name of names) taking.unknown.push({ queue, name });
  turn.changed(queue, "ready");
}

/** What had stepped aside comes back for a worker that declares its name, or that takes any. */
function* returnKnown(turn: Turn, queue: string, names: readonly string[] | undefined): Program<void> {
  const settings = yield* turn.settings(queue);
  const known = settings.blockedNames?.filter((name) => !names || names.includes(name)) ?? [];
  if (known.length === 0) return;
  const drained = new Set<string>();
  for (const name of known) {
    const jobs = yield* scan("jobs", startingWith("blocked", blockedLane(queue, "name", name)), RETURN_STEP);
    yield* move(
      turn,
      jobs.map((job) => ({ from: job.key, job: returned(job) })),
    );
    if (jobs.length < RETURN_STEP) drained.add(name);
  }
  const { blockedNames = [], ...rest } = settings;
  const left = blockedNames.filter((name) => !drained.has(name));
  yield* turn.configure(queue, left.length > 0 ? { ...rest, blockedNames: left } : rest);
}
