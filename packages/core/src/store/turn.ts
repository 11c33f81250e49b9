import { keyText, queueOf } from "../job/place.ts";
import type { JobKey } from "../job/record.ts";
import type { Stand } from "../job/transitions.ts";
import { get, put, remove, scan } from "./operations.ts";
import type { Change, Held, LeaseRecord, Program, QueueSettings, TallyRecord } from "./store.ts";

/** What the process that owns the store gives to each program it runs. */
export interface Surroundings {
  readonly now: number;
  /** The latest instant this process has seen: ahead of `now` only after the clock was set back. */
  readonly horizon: number;
  readonly mint: Mint;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Orders in a millisecond before a process borrows from the next one: 2^53 / 1024 ms lasts until the year 2248. */
const ORDERS_PER_MS = 1024;

/**
 * Mints what orders jobs of equal instants: `order` only ever grows in a process, `tag` is random per process, so no two
 * adds share a key, in whatever tabs. An odd `order` says that a delay was asked for: after the clock was set back, that
 * tells a job that has to wait from one that does not. The tag is made at first use: Workers forbid randomness at module scope.
 */
export class Mint {
  #last = 0;
  #tag: string | undefined;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  stand(now: number, delayMs = 0): Stand {
    const even = Math.max(this.#last + 2 - (this.#last % 2), now * ORDERS_PER_MS);
    this.#last = delayMs > 0 ? even + 1 : even;
    this.#tag ??= Array.from({ length: 8 }, () => Math.floor(this.#random() * 36).toString(36)).join("");
    return { at: now + delayMs, order: this.#last, tag: this.#tag };
  }
}

/** More workers than this on one store are not seen by a program: a queue of that size wants shards. */
const LEASE_LIMIT = 10_000;
export const EVERY_LEASE = { from: [""], to: ["\u007f"] };

/** The leases as a program found them, with what it has changed since. */
export class Leases {
  readonly #leases: Map<string, LeaseRecord>;
  readonly #touched = new Set<string>();
  #byKey: Map<string, { worker: string; held: Held }> | undefined;

  constructor(records: readonly LeaseRecord[]) {
    this.#leases = new Map(records.map((record) => [record.key[0], record]));
  }

  all(): LeaseRecord[] {
    return [...this.#leases.values()];
  }

  of(worker: string): LeaseRecord | undefined {
    return this.#leases.get(worker);
  }

  set(lease: LeaseRecord): void {
    this.#leases.set(lease.key[0], lease);
    this.#touched.add(lease.key[0]);
    this.#byKey = undefined;
  }

  delete(worker: string): void {
    if (this.#leases.delete(worker)) this.#touched.add(worker);
    this.#byKey = undefined;
  }

  /** Who runs the job at this key. */
  holderOf(key: JobKey): { worker: string; held: Held } | undefined {
    this.#byKey ??= new Map(
      this.all().flatMap((lease) => lease.held.map((held) => [keyText(held.key), { worker: lease.key[0], held }])),
    );
    return this.#byKey.get(keyText(key));
  }

  /** What runs of a queue. */
  heldOf(queue: string): Held[] {
    return this.all().flatMap((lease) => lease.held.filter((held) => queueOf(held.key) === queue));
  }

  /** Undoes what this program did to a lease, so that nothing is written of it. */
  restore(worker: string, before: LeaseRecord | undefined): void {
    if (before) this.#leases.set(worker, before);
    else this.#leases.delete(worker);
    this.#touched.delete(worker);
    this.#byKey = undefined;
  }

  /** Changes or (undefined) drops the entry of a running job. */
  amend(worker: string, token: string, change: (held: Held) => Held | undefined): void {
    const lease = this.#leases.get(worker);
    if (!lease) return;
    this.set({ ...lease, held: lease.held.flatMap((held) => (held.token === token ? (change(held) ?? []) : held)) });
  }

  *flush(): Program<void> {
    const names = [...this.#touched];
    yield* put(
      "leases",
      names.flatMap((name) => this.#leases.get(name) ?? []),
    );
    yield* remove(
      "leases",
      names.filter((name) => !this.#leases.has(name)).map((name) => [name] as const),
    );
  }
}

export type TallyPlace = Exclude<keyof TallyRecord, "key">;

/** One run of a program: the instant it happens at, what it has read so far, what it has changed. */
export class Turn {
  readonly now: number;
  readonly random: () => number;
  horizon: number;
  readonly #mint: Mint;
  #leases: Leases | undefined;
  readonly #settings = new Map<string, QueueSettings>();
  readonly #tallies = new Map<string, Partial<Record<TallyPlace, number>>>();
  readonly #counted = new Map<string, Partial<Record<TallyPlace, number>>>();
  readonly #changes = new Map<string, Change>();

  constructor(surroundings: Surroundings) {
    this.now = surroundings.now;
    this.horizon = Math.max(surroundings.now, surroundings.horizon);
    this.random = surroundings.random;
    this.#mint = surroundings.mint;
  }

  stand(delayMs = 0): Stand {
    return this.#mint.stand(this.now, delayMs);
  }

  *leases(): Program<Leases> {
    this.#leases ??= new Leases(yield* scan("leases", EVERY_LEASE, LEASE_LIMIT));
    return this.#leases;
  }

  /** Settings of a queue; an unconfigured queue has empty ones. */
  *settings(queue: string): Program<QueueSettings> {
    let settings = this.#settings.get(queue);
    if (!settings) {
      const [cell] = yield* get("cells", [["queue", queue]]);
      settings = cell?.value ?? {};
      this.#settings.set(queue, settings);
    }
    return settings;
  }

  *configure(queue: string, value: QueueSettings): Program<void> {
    this.#settings.set(queue, value);
    yield* put("cells", [{ key: ["queue", queue], value }]);
  }

  changed(queue: string, kind: Change["kind"]): void {
    this.#changes.set(`${kind}\n${queue}`, { queue, kind });
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

  /** How many jobs are in a place by now: known, or counted by `count` (before this turn's changes) and then known. */
  *tallied(queue: string, place: TallyPlace, count: () => Program<number>): Program<number> {
    const known = yield* this.#known(queue);
    known[place] ??= (yield* count()) - (this.#tallies.get(queue)?.[place] ?? 0);
    return known[place] + (this.#tallies.get(queue)?.[place] ?? 0);
  }

  /** Writes what was kept back: leases, tallies. Last step of every writing program. */
  *flush(): Program<void> {
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
    let known = this.#counted.get(queue);
    if (!known) {
      const [record] = yield* get("tallies", [[queue]]);
      const { key: _, ...places } = record ?? { key: [queue] as const };
      known = { ...places };
      this.#counted.set(queue, known);
    }
    return known;
  }
}

/** Runs `body` as a program of one turn and answers what it changed besides its result. */
export function* turn<T>(
  surroundings: Surroundings,
  body: (turn: Turn) => Program<T>,
): Program<{ readonly result: T; readonly changes: readonly Change[] }> {
  const current = new Turn(surroundings);
  const result = yield* body(current);
  yield* current.flush();
  return { result, changes: current.changes };
}
