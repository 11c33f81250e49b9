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
   * Returns the records in a range of keys, in order. Sorts all records each time: a derived collection has one record
   * per queue, not per job.
   */
  range(from: Key, to: Key): AnyRecord[] {
    const found: AnyRecord[] = [];
    for (const record of new Map([...this.#committed, ...this.#changed]).values()) {
      if (record && compare(record.key, from) >= 0 && compare(record.key, to) < 0) found.push(record);
    }
    return found.sort((a, b) => compare(a.key, b.key));
  }

  /** Runs an operation of a program on these records, and returns its answer. */
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

/**
 * Records of the SQL store whose puts are delayed (`deferrable`, see `Operation`), as a layer over the tables. Written
 * rows are billed: without this layer, an idle object's worker would write its empty lease after every job. A deferred
 * record is written with its next non-deferrable put, or never. Changes take effect when their transaction commits.
 */
export class DeferredRecords {
  readonly #layers = new Map<Collection, DerivedRecords>();

  /**
   * Runs an operation on the deferred records and on the tables.
   *
   * @param below runs an operation on the tables alone.
   */
  perform(operation: Operation, below: (operation: Operation) => unknown): unknown {
    if (operation.op === "put" && operation.deferrable && this.#defer(operation, below)) return undefined;
    const answer = below(operation);
    const layer = this.#layers.get(operation.collection);
    if (!layer) return answer;
    switch (operation.op) {
      case "get":
        return (answer as (AnyRecord | undefined)[]).map((record) => record && (layer.get(record.key) ?? record));
      case "scan":
        return operation.keysOnly ? answer : (answer as AnyRecord[]).map((record) => layer.get(record.key) ?? record);
      case "put":
        for (const { key } of operation.records) layer.delete(key);
        return answer;
      case "delete":
        for (const key of operation.keys) layer.delete(key);
        return answer;
      case "deleteRange":
        for (const { key } of layer.range(operation.from, operation.to)) layer.delete(key);
        return answer;
    }
  }

  commit(): void {
    for (const layer of this.#layers.values()) layer.commit();
  }

  rollback(): void {
    for (const layer of this.#layers.values()) layer.rollback();
  }

  /** Discards all deferred records. The records in the tables apply again, as after a crash. */
  clear(): void {
    this.#layers.clear();
  }

  /**
   * Delays a put. Returns false, without delaying it, if a record has no row in its table yet: a scan of the table
   * could not find it.
   */
  #defer(
    { collection, records }: Extract<Operation, { op: "put" }>,
    below: (operation: Operation) => unknown,
  ): boolean {
    const keys: readonly Key[] = records.map(({ key }) => key);
    const there = below({ op: "get", collection, keys }) as readonly (AnyRecord | undefined)[];
    if (there.includes(undefined)) return false;
    const layer = this.#layers.get(collection) ?? new DerivedRecords();
    this.#layers.set(collection, layer);
    for (const record of records) layer.put(record);
    return true;
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
