import { QuaysideError, type ShardsOption } from "@quayside/core";
import { SHARDS_LIMIT } from "./names.ts";
import type { KeyOf } from "./route.ts";
import { conflictOf, type ShardLayout } from "./shard-in-store.ts";

/** The number of objects over which a queue is divided, as an object has reported it last. */
export class Layout {
  readonly keyOf: KeyOf | undefined;
  #count: number;
  #previous: number | undefined;

  /**
   * Checks the option `shards` and keeps its values.
   *
   * @throws {QuaysideError} `invalid_option`.
   */
  constructor(option: ShardsOption) {
    const { count, previous, keyOf } = typeof option === "number" ? { count: option } : option;
    this.#count = checkCount(count, "shards");
    this.#previous = previous === undefined || previous === count ? undefined : checkCount(previous, "shards.previous");
    if (keyOf !== undefined && typeof keyOf !== "function")
      throw new QuaysideError("invalid_option", "shards.keyOf must be a function.", { option: "shards.keyOf" });
    this.keyOf = keyOf;
  }

  get count(): number {
    return this.#count;
  }

  get previous(): number | undefined {
    return this.#previous;
  }

  /** Number of shards that may have jobs: the present or the previous number, whichever is greater. */
  get reach(): number {
    return Math.max(this.#count, this.#previous ?? 0);
  }

  get asSent(): ShardLayout {
    return {
      count: this.#count,
      ...(this.#previous !== undefined && { previous: this.#previous }),
      ...(this.keyOf && { custom: true }),
    };
  }

  /**
   * Compares this layout with the one that a shard has stored.
   *
   * @returns the shard's number of shards, if it is newer.
   * @throws {QuaysideError} `invalid_option` if the numbers conflict and `previous` does not explain it.
   */
  newerOf(queue: string, known: Pick<ShardLayout, "count" | "previous">): number | undefined {
    const conflict = conflictOf(known, this.#count, this.#previous);
    if (conflict && "other" in conflict) throw this.refused(queue, conflict.other);
    return conflict?.count;
  }

  /** Creates the error for a queue whose stored number of objects (`other`) is neither `count` nor `previous`. */
  refused(queue: string, other: number): QuaysideError {
    const now = other === 1 ? "has jobs in one object" : `is split over ${other} objects`;
    return new QuaysideError(
      "invalid_option",
      `Queue ${queue} ${now}, and shards says ${this.#count}${this.#previous === undefined ? "" : `, before ${this.#previous}`}. ` +
        `To change the number, say which one it was: shards: { count: ${this.#count}, previous: ${other} }.`,
      { option: "shards.previous", queue, shards: other },
    );
  }

  /** Uses a shard's newer number of shards from now on: a newer version of the application is deployed. */
  adopt(count: number): void {
    this.#previous = this.#count;
    this.#count = checkCount(count, "shards");
  }
}

function checkCount(count: unknown, option: string): number {
  if (typeof count === "number" && Number.isInteger(count) && count >= 1 && count <= SHARDS_LIMIT) return count;
  throw new QuaysideError(
    "invalid_option",
    `${option} must be a whole number from 1 to ${SHARDS_LIMIT}, got ${String(count)}.`,
    { option },
  );
}
