/**
 * The defaults of the engine. Names that end in `Ms` are milliseconds. Import the module as a namespace, `DEFAULTS`, so
 * that bundles contain only the used ones.
 */

/** Default maximum number of attempts of a job. */
export const maxAttempts = 3;
/** Default wait before each further attempt. */
export const backoff = { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 3_600_000, jitter: 1 } as const;
/** Time after which a worker's claims expire unless it renews them, in ms. Workers renew after a third of it. */
export const leaseMs = 30_000;
/**
 * Time after which the jobs of a worker that renews nothing are recovered, although the worker still holds its lock, in
 * ms.
 */
export const silenceCapMs = 600_000;
/** Default time that `stop()` waits for running handlers before it aborts them, in ms. */
export const stopTimeoutMs = 30_000;
/**
 * Time that a handler may still run after its signal was aborted, in ms. Then its attempt is settled without its
 * result.
 */
export const graceMs = 5_000;
/** Default number of interruptions at which a job fails for good. */
export const maxInterruptions = 10;
/** Delay of a job whose worker died. Short at first, because most crashes are not the job's fault. */
export const interruptionBackoff = { kind: "exponential", delayMs: 500, factor: 2, maxMs: 300_000, jitter: 1 } as const;
/** Delay of a job that `requires` the network and failed offline. The delay ends early when the network is back. */
export const offlineBackoff = { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 } as const;
/**
 * Number of successive releases or retries of a job with a short delay (less than `shortRepeatMs`) that need not wait
 * longer. From the next one on, the delay is `repeatBackoff`, until a delay is longer or the job ends.
 */
export const freeRepeats = 10;
export const shortRepeatMs = 100;
export const repeatBackoff = { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0 } as const;
/** Default time for which the outcome of a numbered request is stored, in ms. */
export const markMs = 90 * 86_400_000;
/** Default number of ended jobs that a queue keeps in each state. */
export const keep = { completed: 100, failed: 1_000, cancelled: 100 } as const;
/** Default maximum of a payload as JSON, in bytes. */
export const payloadLimitBytes = 128 * 1024;
/** Maximum nesting of arrays and objects in a payload, a result or a progress value. */
export const nestingLimit = 100;
/** Default number of jobs per page of a list. */
export const pageLimit = 100;
