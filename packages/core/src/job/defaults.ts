/** Every default of the engine, in one place. Milliseconds where the name ends in `Ms`. */
export const DEFAULTS = {
  maxAttempts: 3,
  backoff: { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 3_600_000, jitter: 1 },
  /** How long a claim holds without renewal. Renewed at a third. */
  leaseMs: 30_000,
  /** A live worker (it holds its lock) that stays silent is given up after this long. */
  silenceCapMs: 600_000,
  /** How long a worker waits for its handlers at `stop()` before it aborts them. */
  stopTimeoutMs: 30_000,
  /** How long a handler may run on after its signal was aborted, before its attempt is settled without it. */
  graceMs: 5_000,
  /** Crashes of its process that a job survives. */
  maxInterruptions: 10,
  /** Wait of a job whose worker died under it: short at first, for most crashes are not the job's fault. */
  interruptionBackoff: { kind: "exponential", delayMs: 500, factor: 2, maxMs: 300_000, jitter: 1 },
  /** Wait of a job that `requires` the network and failed while it was away, unless it comes back before. */
  offlineBackoff: { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 },
  /**
   * A job that is released or retried more often than `freeRepeats` times in a row, each time after less than
   * `shortRepeatMs`, waits by `repeatBackoff` in place of that, until it has waited longer by itself or has ended.
   */
  freeRepeats: 10,
  shortRepeatMs: 100,
  repeatBackoff: { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0 },
  /** How long the outcome of a numbered request is remembered, unless it says itself. */
  markMs: 90 * 86_400_000,
  keep: { completed: 100, failed: 1_000, cancelled: 100 },
  payloadLimitBytes: 128 * 1024,
  /** Arrays and objects within one another in a payload, a result or a report of progress. */
  nestingLimit: 100,
  /** Jobs of a page of a list. */
  pageLimit: 100,
} as const;
