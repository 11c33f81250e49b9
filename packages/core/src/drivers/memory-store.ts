import {
  type Change,
  COLLECTION_NAMES,
  type Collection,
  type Key,
  type Operation,
  type Program,
  type Records,
  type Store,
} from "../engine/store.ts";
import { compareKeys, isOperation } from "../engine/store-operations.ts";
import { append } from "../job/append-to-list.ts";
import { QuaysideError } from "../job/errors.ts";

type AnyRecord = Records[Collection];

interface Shared {
  readonly collections: ReadonlyMap<Collection, SortedRecords>;
  readonly connections: Set<MemoryStore>;
}

/**
 * A store in memory, for tests, scripts and work that may be lost with the process. Programs run synchronously, one
 * after the other. The writes of a program that throws are undone from a log.
 */
export class MemoryStore implements Store {
  #shared: Shared = {
    collections: new Map(COLLECTION_NAMES.map((name) => [name, new SortedRecords()])),
    connections: new Set([this]),
  };
  readonly #listeners = new Set<(changes: readonly Change[]) => void>();
  #closed = false;

  /** Returns another store on the same records, as a second tab would have. Each store is closed separately. */
  connect(): MemoryStore {
    const store = new MemoryStore();
    store.#shared = this.#shared;
    this.#shared.connections.add(store);
    return store;
  }

  async transact<T>(start: () => Program<T>): Promise<T> {
    if (this.#closed) throw new QuaysideError("closed", "This store is closed.");
    const undo: (() => void)[] = [];
    try {
      const program = start();
      let step = program.next();
      while (!step.done) {
        const { value } = step;
        const answer = isOperation(value)
          ? this.#perform(value, undo)
          : value.map((operation) => this.#perform(operation, undo));
        step = program.next(answer);
      }
      return step.value;
    } catch (error) {
      for (const restore of undo.reverse()) restore();
      throw error;
    }
  }

  announce(changes: readonly Change[]): void {
    for (const store of this.#shared.connections) {
      if (store !== this) for (const listener of [...store.#listeners]) listener(changes);
    }
  }

  watch(listener: (changes: readonly Change[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    this.#shared.connections.delete(this);
  }

  #perform(operation: Operation, undo: (() => void)[]): unknown {
    const records = this.#shared.collections.get(operation.collection) as SortedRecords;
    switch (operation.op) {
      case "get":
        return operation.keys.map((key) => records.get(key));
      case "scan": {
        const found = records.range(operation.from, operation.to, operation.limit, operation.reverse ?? false);
        return operation.keysOnly ? found.map(keyOf) : found;
      }
      case "put": {
        const before = operation.records.map((record) => records.set(record.key, Object.freeze(copy(record))));
        const { records: put } = operation;
        undo.push(() => records.restore(put.map(keyOf), before));
        return undefined;
      }
      case "delete": {
        const before = operation.keys.map((key) => records.set(key, undefined));
        undo.push(() => records.restore(operation.keys, before));
        return undefined;
      }
      case "deleteRange": {
        const gone = records.cut(operation.from, operation.to);
        undo.push(() => records.restore(gone.map(keyOf), gone));
        return undefined;
      }
    }
  }
}

const keyOf = ({ key }: AnyRecord): Key => key;

/**
 * Copies a record, because the writer may change its object later. Records are plain data, so this is ten times faster
 * than `structuredClone`. Keys are not copied, because they never change.
 */
function copy<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copy) as T;
  const copied = { ...value };
  for (const name in copied) if (typeof copied[name] === "object" && name !== "key") copied[name] = copy(copied[name]);
  return copied;
}

/** Records in the order of their keys, in arrays of limited length, so that an insert moves few records. */
class SortedRecords {
  static readonly #RUN = 512;
  readonly #runs: AnyRecord[][] = [[]];

  get(key: Key): AnyRecord | undefined {
    const [run, index] = this.#find(key);
    const record = (this.#runs[run] as AnyRecord[])[index];
    return record && compareKeys(record.key, key) === 0 ? record : undefined;
  }

  /** Puts a record, or deletes it if `record` is undefined. Returns the previous record. */
  set(key: Key, record: AnyRecord | undefined): AnyRecord | undefined {
    // New jobs usually come last, which one comparison shows.
    const tail = this.#runs[this.#runs.length - 1] as AnyRecord[];
    const last = tail[tail.length - 1];
    if (record && last && tail.length < SortedRecords.#RUN && compareKeys(last.key, key) < 0) {
      tail.push(record);
      return undefined;
    }
    const [at, index] = this.#find(key);
    const run = this.#runs[at] as AnyRecord[];
    const found = run[index];
    const before = found && compareKeys(found.key, key) === 0 ? found : undefined;
    if (record) {
      run.splice(index, before ? 1 : 0, record);
      if (run.length > SortedRecords.#RUN) this.#runs.splice(at + 1, 0, run.splice(run.length >> 1));
    } else if (before) {
      run.splice(index, 1);
      if (run.length === 0 && this.#runs.length > 1) this.#runs.splice(at, 1);
    }
    return before;
  }

  /** Restores the previous records of these keys, the last key first, because a key may occur twice. */
  restore(keys: readonly Key[], before: readonly (AnyRecord | undefined)[]): void {
    for (let index = keys.length - 1; index >= 0; index--) this.set(keys[index] as Key, before[index]);
  }

  /** Removes and returns the records from `from` (inclusive) to `to` (exclusive). */
  cut(from: Key, to: Key): AnyRecord[] {
    const gone: AnyRecord[] = [];
    const [first, start] = this.#find(from);
    for (let at = first, index = start; at < this.#runs.length; index = 0) {
      const run = this.#runs[at] as AnyRecord[];
      let end = index;
      while (end < run.length && compareKeys((run[end] as AnyRecord).key, to) < 0) end++;
      const reached = end < run.length;
      append(gone, run.splice(index, end - index));
      if (run.length === 0 && this.#runs.length > 1) this.#runs.splice(at, 1);
      else at++;
      if (reached) break;
    }
    return gone;
  }

  range(from: Key, to: Key, limit: number, reverse: boolean): AnyRecord[] {
    const found: AnyRecord[] = [];
    let [at, index] = this.#find(reverse ? to : from);
    if (reverse) {
      for (index--; at >= 0 && found.length < limit; at--, index = (this.#runs[at]?.length ?? 0) - 1) {
        const run = this.#runs[at] as AnyRecord[];
        for (; index >= 0 && found.length < limit; index--) {
          const record = run[index] as AnyRecord;
          if (compareKeys(record.key, from) < 0) return found;
          found.push(record);
        }
      }
      return found;
    }
    for (; at < this.#runs.length; at++, index = 0) {
      const run = this.#runs[at] as AnyRecord[];
      for (; index < run.length; index++) {
        const record = run[index] as AnyRecord;
        if (found.length >= limit || compareKeys(record.key, to) >= 0) return found;
        found.push(record);
      }
    }
    return found;
  }

  /** Finds the first record at or after `key` by binary search. Returns its array (`run`) and its index there. */
  #find(key: Key): [run: number, index: number] {
    let low = 0;
    let high = this.#runs.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      const run = this.#runs[middle] as AnyRecord[];
      const last = run[run.length - 1];
      if (!last || compareKeys(last.key, key) >= 0) high = middle;
      else low = middle + 1;
    }
    const run = this.#runs[low] as AnyRecord[];
    let from = 0;
    let to = run.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (compareKeys((run[middle] as AnyRecord).key, key) < 0) from = middle + 1;
      else to = middle;
    }
    return [low, from];
  }
}
