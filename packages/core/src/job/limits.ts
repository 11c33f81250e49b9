/**
 * Maximum sizes of values, checked by core and included in the HTTP API's schemas and `openapi.json`. Import the module
 * as a namespace, `LIMITS`, so that bundles contain only the used ones.
 */

/** Longest name of a queue, job or group, longest dedupe key and longest id, in UTF-16 units. */
export const nameLength = 256;
/** Maximum of a stored error's message, and of its stack, in bytes of UTF-8. Longer texts are cut. */
export const errorTextBytes = 8 * 1024;
/** Maximum of a result as JSON, and of a progress value, in bytes. */
export const resultBytes = 128 * 1024;
/** Maximum of a log line, in bytes of UTF-8. Longer lines are cut. */
export const logLineBytes = 4 * 1024;
/** Number of log lines that a job keeps: the newest ones. */
export const logLines = 100;
/**
 * Maximum of the progress values and log lines of all of a worker's running jobs, in bytes. If they exceed it, the
 * oldest are dropped.
 */
export const reportBytes = 1024 * 1024;
/** Maximum of results, errors and reports in one exchange, in bytes. The rest is sent with the next exchanges. */
export const exchangeBytes = 256 * 1024;
/** Maximum number of tags of a job. */
export const tags = 32;
/** Longest tag, in UTF-16 units. */
export const tagLength = 128;
/** Highest priority. The lowest priority is `-priority`. */
export const priority = 100;
/** Largest `maxAttempts`, `maxExceptions` and `maxInterruptions`. */
export const attempts = 1_000_000;
/** Maximum number of jobs below the root job of a flow, at all levels. */
export const flowJobs = 10_000;
/** Maximum number of levels of a flow. */
export const flowDepth = 100;
/** Largest `limit` of a group. */
export const groupLimit = 10_000;
/** Maximum number of jobs that one exchange claims, that a worker runs at once, and that a worker holds ahead. */
export const claim = 10_000;
/** Longest time for which the jobs of a batch wait for more, in ms: a week. */
export const batchWaitMs = 604_800_000;
/** Largest `factor` of a backoff. */
export const backoffFactor = 100;
/** Maximum number of ended jobs that a queue keeps per state. */
export const keep = 1_000_000;
/** Largest `maxActive` of a queue. */
export const maxActive = 1_000_000;
/** Largest `maxWaiting` of a queue. */
export const maxWaiting = 10_000_000;
/** Largest `max` of a `rateLimit`. */
export const rateLimitMax = 1_000_000;
/** Shortest interval of a recurrence, in ms. */
export const everyLeastMs = 100;
/** Largest number of jobs in a page of a list. */
export const page = 1_000;
