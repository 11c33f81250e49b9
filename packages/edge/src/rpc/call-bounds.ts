/** Most names in one call of an object: each costs a read, and lost ones are written to the lease (R32). */
export const CALL_BOUNDS = {
  /** Jobs of a worker: its `concurrency` and its `prefetch` are at most 10,000 each. */
  tokens: 20_000,
  /** UTF-16 units of a token: numbers, and the name of a shard. */
  tokenLength: 64,
  queues: 1_000,
} as const;
