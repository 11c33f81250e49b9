import type { Collection, Key, Operation, Records } from "@quayside/core/engine";

type AnyRecord = Records[Collection];

/**
 * The records of a collection that is kept in memory because a scan of the tables can restore it: a written row costs a
 * thousand times as much as a read one. Changes take effect when their transaction commits.
 */
export class DerivedRecords {
  readonly #committed = new Map<string, AnyRecord>();
  readonly #changed = new Map<string, AnyRecord | undefined>();

  get(key: Key): AnyRecord | undefined {
    const text = JSON.stringify(key);
    return this.#changed.has(text) ? this.#changed.get(text) : this.#committed.get(text);
  }

  put(record: AnyRecord): void {
    this.#changed.set(JSON.stringify(record.key), Object.freeze({ ...record }));
  }

  delete(key: Key): void {
    this.#changed.set(JSON.stringify(key), undefined);
  }

  /**
   * Returns the records of a range in the order of their keys. Sorts all records: a derived collection has one record
   * per queue, not per job.
   */
  range(from: Key, to: Key): AnyRecord[] {
    const found: AnyRecord[] = [];
    for (const record of new Map([...this.#committed, ...this.#changed]).values()) {
      if (record && compare(record.key, from) >= 0 && compare(record.key, to) < 0) found.push(record);
    }
    return found.sort((a, b) => compare(a.key, b.key));
  }

  /** Runs a store operation. */
  perform(operation: Operation): unknown {
    switch (operation.op) {
      case "get":
        return operation.keys.map((key) => this.get(key));
      case "scan": {
        const found = this.range(operation.from, operation.to);
        if (operation.reverse) found.reverse();
        const page = found.slice(0, operation.limit);
        return operation.keysOnly ? page.map((record) => record.key) : page;
      }
      case "put":
        for (const record of operation.records) this.put(record);
        return undefined;
      case "delete":
        for (const key of operation.keys) this.delete(key);
        return undefined;
      case "deleteRange":
        for (const record of this.range(operation.from, operation.to)) this.delete(record.key);
        return undefined;
    }
  }

  commit(): void {
    for (const [text, record] of this.#changed) {
      if (record) this.#committed.set(text, record);
      else this.#committed.delete(text);
    }
    this.#changed.clear();
  }

  rollback(): void {
    this.#changed.clear();
  }

  clear(): void {
    this.#committed.clear();
    this.#changed.clear();
  }
}

/** Compares two keys part by part. A key that is a prefix of another is less. */
function compare(a: Key, b: Key): number {
  const shared = Math.min(a.length, b.length);
  for (let index = 0; index < shared; index++) {
    const left = a[index] as string | number;
    const right = b[index] as string | number;
    if (left !== right) return left < right ? -1 : 1;
  }
  return a.length - b.length;
}
