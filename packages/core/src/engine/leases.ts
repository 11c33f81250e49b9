import { append } from "../job/append-to-list.ts";
import { keyText, queueOf } from "../job/job-keys.ts";
import type { JobKey } from "../job/job-record.ts";
import type { Held, Key, LeaseRecord, Program } from "./store.ts";
import { after, put, remove, scan } from "./store-operations.ts";

/** Number of leases per read. */
const PAGE = 1_000;

/**
 * Reads all leases, in pages. A claim must read every lease: it would claim the running jobs of a lease that it missed.
 */
export function* everyLease(): Program<LeaseRecord[]> {
  const found: LeaseRecord[] = [];
  for (let from: Key = [""]; ; ) {
    const page = yield* scan("leases", { from, to: ["\u007f"] }, PAGE);
    append(found, page);
    const last = page[PAGE - 1];
    if (!last) return found;
    from = after(last.key);
  }
}

/** All leases as one program has read and changed them. The changes are written when the program ends. */
export class Leases {
  readonly #leases: Map<string, LeaseRecord>;
  readonly #touched = new Set<string>();
  /** Workers whose changed leases need not be written at once. */
  readonly #deferrable = new Set<string>();
  #byKey: Map<string, { worker: string; held: Held }> | undefined;
  #freed: Held[] = [];

  constructor(records: readonly LeaseRecord[]) {
    this.#leases = new Map(records.map((record) => [record.key[0], record]));
  }

  all(): LeaseRecord[] {
    return [...this.#leases.values()];
  }

  of(worker: string): LeaseRecord | undefined {
    return this.#leases.get(worker);
  }

  /**
   * Replaces a worker's lease.
   *
   * @param deferrable the write may be delayed: the jobs that the lease no longer lists are deleted, and it lists no
   * new ones. See `Operation`.
   */
  set(lease: LeaseRecord, deferrable = false): void {
    const before = this.#leases.get(lease.key[0])?.held ?? [];
    // Each exchange sets its lease twice, and usually one of the two is empty.
    const now = new Set(before.length > 0 ? lease.held.map(({ token }) => token) : []);
    for (const held of before) if (!now.has(held.token)) this.#freed.push(held);
    this.#leases.set(lease.key[0], lease);
    this.#touched.add(lease.key[0]);
    if (deferrable) this.#deferrable.add(lease.key[0]);
    else this.#deferrable.delete(lease.key[0]);
    this.#byKey = undefined;
  }

  delete(worker: string): void {
    append(this.#freed, this.#leases.get(worker)?.held ?? []);
    if (this.#leases.delete(worker)) this.#touched.add(worker);
    this.#byKey = undefined;
  }

  /** Returns the worker that runs the job at this key, and the job's lease entry; undefined if the job does not run. */
  holderOf(key: JobKey): { worker: string; held: Held } | undefined {
    this.#byKey ??= new Map(
      this.all().flatMap((lease) => lease.held.map((held) => [keyText(held.key), { worker: lease.key[0], held }])),
    );
    return this.#byKey.get(keyText(key));
  }

  /** Returns the lease entries of a queue's running jobs, of all workers. */
  heldOf(queue: string): Held[] {
    const running: Held[] = [];
    for (const { held } of this.#leases.values()) {
      for (const entry of held) if (queueOf(entry.key) === queue) running.push(entry);
    }
    return running;
  }

  /** Undoes this program's changes of a lease, so that it is not written. */
  restore(worker: string, before: LeaseRecord | undefined): void {
    if (before) this.#leases.set(worker, before);
    else this.#leases.delete(worker);
    this.#touched.delete(worker);
    this.#byKey = undefined;
  }

  /** Changes the lease entry of a running job, or removes it if `change` returns undefined. */
  amend(worker: string, token: string, change: (held: Held) => Held | undefined): void {
    const lease = this.#leases.get(worker);
    if (!lease) return;
    this.set({ ...lease, held: lease.held.flatMap((held) => (held.token === token ? (change(held) ?? []) : held)) });
  }

  /** Returns the entries that were removed from leases since the last call of `takeFreed`. */
  takeFreed(): readonly Held[] {
    const freed = this.#freed;
    this.#freed = [];
    return freed;
  }

  *flush(): Program<void> {
    const names = [...this.#touched];
    const records = names.flatMap((name) => this.#leases.get(name) ?? []);
    yield* put(
      "leases",
      records,
      records.every(({ key }) => this.#deferrable.has(key[0])),
    );
    yield* remove(
      "leases",
      names.filter((name) => !this.#leases.has(name)).map((name) => [name] as const),
    );
  }
}
