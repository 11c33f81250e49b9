/**
 * Maximum numbers of names in one call of an object (R32). Each name costs a read, and lost tokens are written to the
 * lease.
 */
export const CALL_BOUNDS = {
  /** Jobs of a worker: `concurrency` and `prefetch` are at most 10,000 each. */
  tokens: 20_000,
  /** UTF-16 units of a token, which has numbers and the number of a shard. */
  tokenLength: 64,
  queues: 1_000,
  /** Jobs of one add, which are stored in one transaction: the root of the largest flow, and those below it. */
  jobs: 10_001,
} as const;
