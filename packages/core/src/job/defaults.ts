/**
 * The defaults of the engine. A name that ends in `Ms` is in milliseconds. Import this module as a namespace, `DEFAULTS`: a
 * bundle then holds only those defaults that it uses.
 */

/** Attempts of a job. */
export const maxAttempts = 3;
/** The wait before each further attempt. */
export const backoff = { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 3_600_000, jitter: 1 } as const;
/** How long a lease holds without a renewal. A worker renews it after a third of this. */
export const leaseMs = 30_000;
/** How long a worker that holds its lock may send nothing before its jobs are taken from it. */
export const silenceCapMs = 600_000;
/** How long `stop()` lets handlers run before it aborts them. */
export const stopTimeoutMs = 30_000;
/** How long a handler may go on after its signal was aborted. Then its attempt is settled without its result. */
export const graceMs = 5_000;
/** Number of interruptions at which a job fails for good. */
export const maxInterruptions = 10;
/** The wait of a job whose worker died while it ran it: short at first, because the job causes few of these crashes. */
export const interruptionBackoff = { kind: "exponential", delayMs: 500, factor: 2, maxMs: 300_000, jitter: 1 } as const;
/** The wait of a job that `requires` the network and failed while the network was away. It ends when the network is back. */
export const offlineBackoff = { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 } as const;
/**
 * Number of releases and retries in a row, each after less than `shortRepeatMs`, that a job makes without a further wait.
 * After more of them it waits by `repeatBackoff`, until it ends or asks for a wait of at least `shortRepeatMs`.
 */
export const freeRepeats = 10;
export const shortRepeatMs = 100;
export const repeatBackoff = { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0 } as const;
/** How long the outcome of a numbered request is kept, unless the request says how long. */
export const markMs = 90 * 86_400_000;
/** Number of ended jobs that a queue keeps of each state. */
export const keep = { completed: 100, failed: 1_000, cancelled: 100 } as const;
/** Largest payload, in bytes of JSON. */
export const payloadLimitBytes = 128 * 1024;
/** Levels of arrays and objects within one another in a payload, a result or a report of progress. */
export const nestingLimit = 100;
/** Number of jobs in a page of a list. */
export const pageLimit = 100;
