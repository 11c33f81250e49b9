import type { Collection, Key, Operation, Records } from "@quayside/core/engine";
import { DerivedRecords } from "./in-memory-records.ts";

type AnyRecord = Records[Collection];

/**
 * Records of the SQL store whose puts are delayed (`deferrable`, see `Operation`), as a layer over the tables. Written
 * rows are billed: without this layer, an idle object's worker would write its empty lease after every job. A deferred
 * record is written with its next non-deferrable put, or never. Changes take effect when their transaction commits.
 */
export class DeferredRecords {
  readonly #layers = new Map<Collection, DerivedRecords>();

  /**
   * Runs an operation on the deferred records and the tables.
   *
   * @param below runs an operation on the tables.
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

  /** Defers a put. Returns false for a record without a row in its table: a scan of the table could not find it. */
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
