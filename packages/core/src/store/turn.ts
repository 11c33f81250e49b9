import { queueOf, tagEnd } from "../job/place.ts";
import type { JobKey, StoredJob } from "../job/record.ts";
import type { NextCron } from "../job/recurrence.ts";
import type { Ending, Stand } from "../job/transitions.ts";
import { append } from "./append.ts";
import { getCell, kind, putCells } from "./cells.ts";
import { noteEnded } from "./ended-ids.ts";
import { flushGroups, type Group } from "./groups.ts";
import { everyLease, Leases } from "./leases.ts";
import type { Mint } from "./mint.ts";
import { get, put, together } from "./operations.ts";
import type { Change, Program, QueueSettings, TallyRecord } from "./store.ts";

/** What the process that owns the store gives to each program it runs. */
export interface Surroundings {
  readonly now: number;
  /** The latest instant this process has seen: ahead of `now` only after the clock was set back. */
  readonly horizon: number;
  readonly mint: Mint;
  /** In [0, 1). */
  readonly random: () => number;
  /** Where the look for groups that nobody runs goes on, by queue: see `suspectNext`. */
  readonly cursors: Map<string, string | undefined>;
  /** Reads cron rules; absent: recurrences by cron are refused. */
  readonly nextCron?: NextCron | undefined;
}

/** What follows from what a program did. */
export interface Aftermath {
  readonly ends: { readonly job: StoredJob; readonly ending: Ending; readonly trace?: boolean }[];
  readonly successors: { readonly queue: string; readonly id: string }[];
  /** `freed`: of a job that runs no more. */
  readonly rooms: { readonly queue: string; readonly key: string; readonly freed?: JobKey }[];
}

export type TallyPlace = Exclude<keyof TallyRecord, "key">;

/** One run of a program: the instant it happens at, what it has read so far, what it has changed. */
export class Turn {
  readonly now: number;
  readonly random: () => number;
  horizon: number;
  readonly nextCron: NextCron | undefined;
  readonly cursors: Surroundings["cursors"];
  /** The groups that this turn has to do with. */
  readonly groups = new Map<string, Group>();
  readonly #mint: Mint;
  #leases: Leases | undefined;
  #aftermath: Aftermath = { ends: [], successors: [], rooms: [] };
  readonly #settings = new Map<string, QueueSettings>();
  readonly #tallies = new Map<string, Partial<Record<TallyPlace, number>>>();
  /** This turn found a job whose instant was computed from a clock that was ahead and was set back since. */
  setBack = false;
  /** Queues of which a tally was not known: a program of kind `read` may not have written it. */
  readonly newlyCounted = new Set<string>();
  readonly #counted = new Map<string, Partial<Record<TallyPlace, number>>>();
  readonly #changes = new Map<string, Change>();
  #lastChange: Change | undefined;

  constructor(surroundings: Surroundings) {
    this.now = surroundings.now;
    this.horizon = Math.max(surroundings.now, surroundings.horizon);
    this.random = surroundings.random;
    this.nextCron = surroundings.nextCron;
    this.cursors = surroundings.cursors;
    this.#mint = surroundings.mint;
  }

  stand(delayMs = 0): Stand {
    return this.#mint.stand(this.now, delayMs);
  }

  /** How the tags of this store end: see `tagEnd`. */
  get tagEnd(): string {
    return tagEnd(this.#mint.shard);
  }

  /** The highest order that this process has given out: a job that it places from now on has a higher one. */
  get standing(): { readonly at: number; readonly order: number } {
    // A delayed job has the odd order after the even one.
    return { at: this.now, order: this.#mint.last + 1 };
  }

  *leases(): Program<Leases> {
    this.#leases ??= new Leases(yield* everyLease());
    return this.#leases;
  }

  /** Reads in one trip what an exchange over these queues is going to need, and what else is asked. */
  *prepare(queues: readonly string[], ...others: readonly Program<unknown>[]): Program<void> {
    yield* together(...others, this.leases(), ...queues.map((queue) => this.settings(queue)), this.readTallies(queues));
  }

  /** Settings of a queue; an unconfigured queue has empty ones. */
  *settings(queue: string): Program<QueueSettings> {
    let settings = this.#settings.get(queue);
    if (!settings) {
      settings = (yield* getCell(kind("queue"), queue)) ?? {};
      this.#settings.set(queue, settings);
    }
    return settings;
  }

  /** Notes that jobs ended: others may have waited for it. */
  ended(ends: readonly Aftermath["ends"][number][], successors: readonly Aftermath["successors"][number][]): void {
    append(this.#aftermath.ends, ends);
    append(this.#aftermath.successors, successors);
  }

  /** Notes that a group may have room. */
  room(queue: string, key: string): void {
    this.#aftermath.rooms.push({ queue, key });
  }

  /** What is to be seen to because of what was noted since the last call; undefined when nothing is. */
  *takeAftermath(): Program<Aftermath | undefined> {
    const { ends, successors, rooms } = this.#aftermath;
    this.#aftermath = { ends: [], successors: [], rooms: [] };
    const queues = new Set<string>();
    for (const { key, group } of this.#leases?.takeFreed() ?? []) {
      const queue = queueOf(key);
      queues.add(queue);
      if (group !== undefined) rooms.push({ queue, key: group, freed: key });
    }
    for (const queue of queues) if ((yield* this.settings(queue)).maxActive !== undefined) this.changed(queue, "ready");
    return ends.length + successors.length + rooms.length > 0 ? { ends, successors, rooms } : undefined;
  }

  *configure(queue: string, value: QueueSettings): Program<void> {
    this.#settings.set(queue, value);
    yield* putCells(kind("queue"), [[queue, value]]);
  }

  changed(queue: string, kind: Change["kind"]): Change {
    // Most calls repeat the one before: a batch is of one queue.
    if (this.#lastChange?.queue === queue && this.#lastChange.kind === kind) return this.#lastChange;
    const name = `${kind}\n${queue}`;
    const change = this.#changes.get(name) ?? { queue, kind };
    this.#changes.set(name, change);
    this.#lastChange = change;
    return change;
  }

  /** Notes that these jobs ended, each given by its id or by the key that spells it. */
  changedEnded(queue: string, jobs: readonly (JobKey | string)[]): void {
    noteEnded(this.changed(queue, "ended"), jobs);
  }

  get changes(): readonly Change[] {
    return [...this.#changes.values()];
  }

  /** Notes that so many jobs came to (or left) a place; written once, by `flush`. */
  tally(queue: string, place: TallyPlace, difference: number): void {
    const sums = this.#tallies.get(queue) ?? {};
    sums[place] = (sums[place] ?? 0) + difference;
    this.#tallies.set(queue, sums);
  }

  /** Reads the tallies of queues, in one trip, before they are needed. */
  *readTallies(queues: Iterable<string>): Program<void> {
    const unread = [...queues].filter((queue) => !this.#counted.has(queue));
    const records = yield* get(
      "tallies",
      unread.map((queue) => [queue] as const),
    );
    unread.forEach((queue, index) => {
      const { key: _, ...places } = records[index] ?? { key: [queue] as const };
      this.#counted.set(queue, places);
    });
  }

  /** How many jobs are in a place by now: known, or counted by `count` (before this turn's changes) and then known. */
  *tallied(queue: string, place: TallyPlace, count: () => Program<number>): Program<number> {
    const known = yield* this.#known(queue);
    if (known[place] === undefined) {
      known[place] = (yield* count()) - (this.#tallies.get(queue)?.[place] ?? 0);
      this.newlyCounted.add(queue);
    }
    return known[place] + (this.#tallies.get(queue)?.[place] ?? 0);
  }

  /** Writes what was kept back: leases, seats of groups, tallies. Last step of every writing program. */
  *flush(): Program<void> {
    yield* flushGroups(this);
    if (this.#leases) yield* this.#leases.flush();
    for (const queue of new Set([...this.#tallies.keys(), ...this.#counted.keys()])) {
      const known = yield* this.#known(queue);
      const sums = this.#tallies.get(queue) ?? {};
      const places = Object.keys(known) as TallyPlace[];
      if (places.length === 0) continue;
      const totals = Object.fromEntries(places.map((place) => [place, (known[place] ?? 0) + (sums[place] ?? 0)]));
      yield* put("tallies", [{ key: [queue], ...totals }]);
    }
  }

  *#known(queue: string): Program<Partial<Record<TallyPlace, number>>> {
    if (!this.#counted.has(queue)) yield* this.readTallies([queue]);
    return this.#counted.get(queue) as Partial<Record<TallyPlace, number>>;
  }
}
