import { QuaysideError } from "@quayside/core";

/** Most names in one call of an object: each costs a read, and lost ones are written to the lease (R32). */
export const CALL_BOUNDS = {
  /** Jobs of a worker: its `concurrency` and its `prefetch` are at most 10,000 each. */
  tokens: 20_000,
  /** UTF-16 units of a token: numbers, and the name of a shard. */
  tokenLength: 64,
  queues: 1_000,
} as const;

/** @throws {QuaysideError} `invalid_option` for more queues than one call may ask for. */
export const checkQueues = <T>(queues: readonly T[], option: string): readonly T[] =>
  checkCount(queues, option, CALL_BOUNDS.queues);

function checkCount<T>(list: readonly T[], option: string, most: number): readonly T[] {
  if (list.length <= most) return list;
  throw refusal(option, `has ${list.length} entries; at most ${most} are allowed in one call`);
}

const refusal = (option: string, rule: string) => new QuaysideError("invalid_option", `${option} ${rule}.`, { option });
