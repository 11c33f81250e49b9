import type { Collection, Key, Operation, Records } from "@quayside/core/engine";
import { DerivedRecords } from "./derived-records.ts";

type AnyRecord = Records[Collection];

/**
 * Records that were put and need not be written at once (`deferrable`, see `Operation`), over those in the tables: a row
 * that is written costs, and the worker of an idle object would write one for every job to say that it holds none. They
 * are written when their record is next put, or never. Changes stand aside until their transaction has committed.
 */
export class DeferredRecords {
  readonly #layers = new Map<Collection, DerivedRecords>();

  /** @param below the same on the tables. */
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

  /** Discards all deferred records: those in the tables count again, as after a crash. */
  clear(): void {
    this.#layers.clear();
  }

  /** A record that is in no table could not be found there: it is written after all. */
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
