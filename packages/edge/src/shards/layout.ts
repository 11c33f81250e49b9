import { QuaysideError } from "@quayside/core";
import { SHARDS_LIMIT } from "./names.ts";
import type { KeyOf } from "./route.ts";
import { conflictOf, type ShardLayout } from "./shard-in-store.ts";

/** Over how many objects a queue is split: a number, or with it the previous number and `keyOf`, the key of a job. */
export type ShardsOption = number | ShardsOptions;

/** Over how many objects a queue is split, with what decides where a job belongs. */
export interface ShardsOptions {
  /** 1 to 1,000. */
  readonly count: number;
  /**
   * How many there were before, while anything of then is left: its jobs are worked and found, and a job whose key is
   * still held where it used to lie is added there. 1 for a queue that was not split.
   */
  readonly previous?: number;
  /**
   * Makes up the key by which a job is routed, e.g. the customer's. Jobs of one key lie in one shard, in the order of
   * their adding; ids, dedupe keys and groups then hold among the jobs of a key. Undefined: the job's dedupe key or
   * group decides, else its id; without any of them it goes anywhere. The same function wherever jobs are added.
   */
  readonly keyOf?: KeyOf;
}

/** How a queue is split, by the last answer that a driver has. */
export class Layout {
  readonly keyOf: KeyOf | undefined;
  #count: number;
  #previous: number | undefined;

  /** @throws {QuaysideError} `invalid_option`. */
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

  /** Shards that may hold something. */
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
   * Compares with the layout that a shard has stored.
   *
   * @returns the number that this layout's own has become since.
   * @throws {QuaysideError} `invalid_option` for a number of which `previous` says nothing.
   */
  newerOf(queue: string, known: Pick<ShardLayout, "count" | "previous">): number | undefined {
    const conflict = conflictOf(known, this.#count, this.#previous);
    if (conflict && "other" in conflict) throw this.refused(queue, conflict.other);
    return conflict?.count;
  }

  /** The error of a queue that is split over another number of objects than this layout says, or said before. */
  refused(queue: string, other: number): QuaysideError {
    const now = other === 1 ? "has jobs in one object" : `is split over ${other} objects`;
    return new QuaysideError(
      "invalid_option",
      `Queue ${queue} ${now}, and shards says ${this.#count}${this.#previous === undefined ? "" : `, before ${this.#previous}`}. ` +
        `To change the number, say which one it was: shards: { count: ${this.#count}, previous: ${other} }.`,
      { option: "shards.previous", queue, shards: other },
    );
  }

  /** A shard has stored another number: a newer version of the application is deployed. */
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
