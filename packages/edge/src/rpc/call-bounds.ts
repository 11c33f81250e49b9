/**
 * Maximum numbers of names in one call of an object (R32). Each name costs a read, and lost tokens are written to the
 * lease.
 */
export const CALL_BOUNDS = {
  /** Tokens of a worker's jobs: its `concurrency` and `prefetch` are at most 10,000 each. */
  tokens: 20_000,
  /** Length of a token, in UTF-16 units. A token has numbers and the number of a shard. */
  tokenLength: 64,
  queues: 1_000,
  /** Jobs of one add, which is one transaction: enough for the root of the largest flow and all jobs below it. */
  jobs: 10_001,
} as const;
