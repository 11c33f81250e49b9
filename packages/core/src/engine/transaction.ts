import { append } from "../job/append-to-list.ts";
import { tagEnd } from "../job/job-keys.ts";
import type { JobKey } from "../job/job-record.ts";
import type { QueuePosition } from "../job/transitions.ts";
import { getCell, kind, putCells } from "./cells.ts";
import { noteEnded } from "./ended-ids.ts";
import type { End } from "./job-writer.ts";
import { everyLease, Leases } from "./leases.ts";
import type { Plugins } from "./plugin.ts";
import type { RecordOwners } from "./record-owners.ts";
import type { ReplyRoom } from "./reply-budget.ts";
import type { SequenceGenerator } from "./sequence-generator.ts";
import type { Change, Held, Program, QueueSettings, TallyRecord } from "./store.ts";
import { get, put, together } from "./store-operations.ts";

/** The values that the process that owns the store gives to each program it runs. */
export interface TransactionContext {
  readonly now: number;
  /** The latest instant this process has seen: ahead of `now` only after the clock was set back. */
  readonly horizon: number;
  readonly sequence: SequenceGenerator;
  /** In [0, 1). */
  readonly random: () => number;
  readonly plugins: Plugins;
  /**
   * Which plugins own records in the store, as far as is known; `unread`: they are to be read first. Absent: no driver with
   * other plugins uses the store.
   */
  readonly owners?: RecordOwners | "unread" | undefined;
  /** The room in an answer that leaves the process; absent: there is no bound. */
  readonly reply?: ReplyRoom | undefined;
}

/** The settings of queues, by name. */
const SETTINGS = kind<QueueSettings>("queue");

export type TallyPlace = Exclude<keyof TallyRecord, "key">;

/** One run of a program: the instant it happens at, what it has read so far, what it has changed. */
export class Transaction {
  readonly now: number;
  readonly random: () => number;
  horizon: number;
  readonly plugins: Plugins;
  readonly reply: ReplyRoom | undefined;
  readonly #sequence: SequenceGenerator;
  #leases: Leases | undefined;
  #ends: End[] = [];
  readonly #settings = new Map<string, QueueSettings>();
  readonly #tallies = new Map<string, Partial<Record<TallyPlace, number>>>();
  /** This transaction found a job whose instant was computed from a clock that was ahead and was set back since. */
  setBack = false;
  /** Names of plugins that own what this transaction writes. */
  readonly used = new Set<string>();
  /** Queues of which a tally was not known: a program of kind `read` may not have written it. */
  readonly newlyCounted = new Set<string>();
  readonly #counted = new Map<string, Partial<Record<TallyPlace, number>>>();
  readonly #changes = new Map<string, Change>();
  #lastChange: Change | undefined;

  constructor(surroundings: TransactionContext) {
    this.now = surroundings.now;
    this.horizon = surroundings.horizon;
    this.random = surroundings.random;
    this.plugins = surroundings.plugins;
    this.reply = surroundings.reply;
    this.#sequence = surroundings.sequence;
  }

  nextPosition(delayMs = 0): QueuePosition {
    return this.#sequence.nextPosition(this.now, delayMs);
  }

  /** How the tags of this store end: see `tagEnd`. */
  get tagEnd(): string {
    return tagEnd(this.#sequence.store);
  }

  /** The highest order that this process has given out: a job that it places from now on has a higher one. */
  get standing(): { readonly at: number; readonly order: number } {
    // A delayed job has the odd order after the even one.
    return { at: this.now, order: this.#sequence.last + 1 };
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
      settings = (yield* getCell(SETTINGS, queue)) ?? {};
      this.#settings.set(queue, settings);
    }
    return settings;
  }

  /** Notes that jobs ended: others may have waited for it. */
  ended(ends: readonly End[]): void {
    append(this.#ends, ends);
  }

  /** Takes what was noted since the last call: jobs that ended, attempts that no lease lists any more. */
  takeEnded(): { readonly ends: readonly End[]; readonly attempts: readonly Held[] } {
    const ends = this.#ends;
    this.#ends = [];
    return { ends, attempts: this.#leases?.takeFreed() ?? [] };
  }

  *configure(queue: string, value: QueueSettings): Program<void> {
    this.#settings.set(queue, value);
    yield* putCells(SETTINGS, [[queue, value]]);
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

  /** How many jobs are in a place by now: known, or counted by `count` (before this transaction's changes) and then known. */
  *tallied(queue: string, place: TallyPlace, count: () => Program<number>): Program<number> {
    const known = yield* this.#known(queue);
    if (known[place] === undefined) {
      known[place] = (yield* count()) - (this.#tallies.get(queue)?.[place] ?? 0);
      this.newlyCounted.add(queue);
    }
    return known[place] + (this.#tallies.get(queue)?.[place] ?? 0);
  }

  /** Writes what was kept back: what plugins kept back, leases, tallies. Last step of every writing program. */
  *flush(): Program<void> {
    for (const plugin of this.plugins.with("flush")) yield* plugin.flush(this);
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
