import { append } from "../job/append-to-list.ts";
import { tagEnd } from "../job/job-keys.ts";
import type { JobKey } from "../job/job-record.ts";
import type { QueuePosition } from "../job/transitions.ts";
import { getCells, kind, putCells, removeCells } from "./cells.ts";
import { noteEnded, type Writable } from "./ended-ids.ts";
import type { End } from "./job-writer.ts";
import { NEVER, planSearch } from "./lapsing.ts";
import { everyLease, Leases } from "./leases.ts";
import type { Plugins } from "./plugin.ts";
import type { RecordOwners } from "./record-owners.ts";
import type { ReplyRoom } from "./reply-budget.ts";
import type { SequenceGenerator } from "./sequence-generator.ts";
import type { Change, Held, Program, QueueSettings, TallyRecord } from "./store.ts";
import { get, put, remove, together } from "./store-operations.ts";

/** Values that the owner of the store passes to each program. */
export interface TransactionContext {
  readonly now: number;
  /** The latest time that this process has seen. Later than `now` only after the clock was set back. */
  readonly horizon: number;
  readonly sequence: SequenceGenerator;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
  readonly plugins: Plugins;
  /**
   * Queues whose jobs by place a `read` program had to count but could not store. The next program that writes stores
   * the counts.
   */
  readonly toCount: Set<string>;
  /**
   * Names of the plugins that own records in the store. `unread`: they must be read first. Absent: no driver with a
   * smaller set of plugins uses the store.
   */
  readonly owners?: RecordOwners | "unread" | undefined;
  /** The byte limit of a reply that leaves the process. Absent: no limit. */
  readonly reply?: ReplyRoom | undefined;
  /** When the next search for lapsed records is due, as far as the driver has read it. 0: it has not. */
  readonly searchAt?: number | undefined;
}

/** The settings of queues, by queue name. */
const SETTINGS = kind<QueueSettings>("queue");

export type TallyPlace = Exclude<keyof TallyRecord, "key">;

/** The stored counts of a queue's jobs by place, if they were read, and the changes by this transaction. */
interface Tallies {
  known?: Partial<Record<TallyPlace, number>>;
  readonly sums: Partial<Record<TallyPlace, number>>;
}

/** One run of a program: its time, its cached reads, its changes. */
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
  readonly #tallies = new Map<string, Tallies>();
  /**
   * Whether the transaction met a job whose time was computed from a clock that was ahead and has been set back since.
   */
  setBack = false;
  /** When the next search for lapsed records is due, as far as the driver or this transaction has read it. */
  searchAt: number;
  #lapsesAt = NEVER;
  /** The key of the worker whose exchange this transaction runs, if it runs one. */
  by: string | undefined;
  /**
   * Queues whose jobs by place this transaction had to count. A program of kind `read` may be unable to store the
   * counts.
   */
  readonly newlyCounted = new Set<string>();
  /** Names of plugins that own records that this transaction writes. */
  readonly used = new Set<string>();
  readonly #changes = new Map<string, Writable<Change>>();
  #lastChange: Writable<Change> | undefined;
  readonly #lastSteps: (() => Program<void>)[] = [];

  constructor({
    now,
    horizon,
    random,
    plugins,
    reply,
    sequence,
    searchAt = NEVER,
  }: Omit<TransactionContext, "toCount">) {
    this.now = now;
    this.horizon = horizon;
    this.random = random;
    this.plugins = plugins;
    this.reply = reply;
    this.#sequence = sequence;
    this.searchAt = searchAt;
  }

  nextPosition(delayMs = 0): QueuePosition {
    return this.#sequence.nextPosition(this.now, delayMs);
  }

  /** The end of the tags in the keys of this store's jobs: see `tagEnd` of the job keys. */
  get tagEnd(): string {
    return tagEnd(this.#sequence.store);
  }

  /** The newest position that a job has now. A long command uses it to leave jobs that are added later unchanged. */
  get standing(): { readonly at: number; readonly order: number } {
    // A delayed job has the odd order after the even one.
    return { at: this.now, order: this.#sequence.last + 1 };
  }

  *leases(): Program<Leases> {
    this.#leases ??= new Leases(yield* everyLease());
    return this.#leases;
  }

  /** Returns the worker and lease entry of the job at this key, if it runs. A running job is among the ready ones. */
  *holderOf(key: JobKey): Program<ReturnType<Leases["holderOf"]>> {
    return key[0] === "ready" ? (yield* this.leases()).holderOf(key) : undefined;
  }

  /** Reads the leases, settings and counts that an exchange over these queues needs, and runs `others`, in one step. */
  *prepare(queues: readonly string[], others: readonly Program<unknown>[]): Program<void> {
    yield* together([...others, this.leases(), this.#readSettings(queues), this.readTallies(queues)]);
  }

  /** Returns the settings of a queue; empty if it was never configured. */
  *settings(queue: string): Program<QueueSettings> {
    if (!this.#settings.has(queue)) yield* this.#readSettings([queue]);
    return this.#settings.get(queue) as QueueSettings;
  }

  *#readSettings(queues: readonly string[]): Program<void> {
    const found = yield* getCells(SETTINGS, queues);
    for (const [index, queue] of queues.entries()) this.#settings.set(queue, found[index] ?? {});
  }

  /** Records that jobs ended. The plugins apply the effects before the transaction ends. */
  ended(ends: readonly End[]): void {
    append(this.#ends, ends);
  }

  /** Returns and clears the recorded ends of jobs and attempts. */
  takeEnded(): { readonly ends: readonly End[]; readonly attempts: readonly Held[] } {
    const ends = this.#ends;
    this.#ends = [];
    return { ends, attempts: this.#leases?.takeFreed() ?? [] };
  }

  /** Stores the settings of a queue. Empty settings are deleted. */
  *configure(queue: string, value: QueueSettings): Program<void> {
    this.#settings.set(queue, value);
    if (Object.keys(value).length > 0) yield* putCells(SETTINGS, [[queue, value]]);
    else yield* removeCells(SETTINGS, [queue]);
  }

  /**
   * Records a change.
   *
   * @param jobs the number of added jobs that are due, if the change is nothing else: see `Change`.
   */
  changed(queue: string, kind: Change["kind"], jobs?: number): Change {
    // Usually the same queue and kind as the last call, because a batch is of one queue.
    let change = this.#lastChange;
    if (change?.queue !== queue || change.kind !== kind) change = this.#changes.get(`${kind}\n${queue}`);
    if (change) change.jobs &&= jobs && change.jobs + jobs;
    else {
      change = { queue, kind, jobs, ...(this.by !== undefined && { by: this.by }) };
      this.#changes.set(`${kind}\n${queue}`, change);
    }
    this.#lastChange = change;
    return change;
  }

  /** Adds ended jobs to the queue's change notice, each given by its id or by its key. */
  changedEnded(queue: string, jobs: readonly (JobKey | string)[]): void {
    noteEnded(this.changed(queue, "ended"), jobs);
  }

  get changes(): readonly Change[] {
    return [...this.#changes.values()];
  }

  /** Records that `difference` jobs entered (negative: left) a place. `flush` writes the new count. */
  tally(queue: string, place: TallyPlace, difference: number): void {
    const { sums } = this.#talliesOf(queue);
    sums[place] = (sums[place] ?? 0) + difference;
  }

  /** Reads the stored counts of queues in one step. */
  *readTallies(queues: Iterable<string>): Program<void> {
    const unread = [...queues].filter((queue) => !this.#talliesOf(queue).known);
    const records = yield* get(
      "tallies",
      unread.map((queue) => [queue] as const),
    );
    for (const [index, queue] of unread.entries()) {
      const { key: _, ...known } = records[index] ?? { key: [queue] };
      this.#talliesOf(queue).known = known;
    }
  }

  /**
   * Returns the number of jobs in a place. If it is not stored, runs `count` (which must not include this transaction's
   * changes) and stores the result.
   */
  *tallied(queue: string, place: TallyPlace, count: () => Program<number>): Program<number> {
    yield* this.readTallies([queue]);
    const { known = {}, sums } = this.#talliesOf(queue);
    const difference = sums[place] ?? 0;
    if (known[place] === undefined) {
      known[place] = (yield* count()) - difference;
      this.newlyCounted.add(queue);
    }
    return known[place] + difference;
  }

  /** Records that this transaction stores a record that lapses at `until`: see `Plugin.lapsing`. */
  lapses(until: number): void {
    this.#lapsesAt = Math.min(this.#lapsesAt, until);
  }

  /** Adds a step of a plugin to the end of the transaction, such as a write that the plugin has delayed. */
  atEnd(step: () => Program<void>): void {
    this.#lastSteps.push(step);
  }

  /**
   * Writes the records whose writes were delayed: of plugins, leases and counts. The last step of every writing
   * program.
   */
  *flush(): Program<void> {
    for (const step of this.#lastSteps) yield* step();
    if (this.#lapsesAt < NEVER) yield* planSearch(this, this.#lapsesAt);
    if (this.#leases) yield* this.#leases.flush();
    yield* this.readTallies(this.#tallies.keys());
    for (const [queue, { known = {}, sums }] of this.#tallies) {
      const totals = Object.entries(known).map(([place, count]) => [place, count + (sums[place as TallyPlace] ?? 0)]);
      // An empty queue has no tallies: counting it again reads nothing.
      if (totals.some(([, count]) => count)) yield* put("tallies", [{ key: [queue], ...Object.fromEntries(totals) }]);
      else if (totals.length > 0) yield* remove("tallies", [[queue]]);
    }
  }

  #talliesOf(queue: string): Tallies {
    const tallies = this.#tallies.get(queue) ?? { sums: {} };
    this.#tallies.set(queue, tallies);
    return tallies;
  }
}
