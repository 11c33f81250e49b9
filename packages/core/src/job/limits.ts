/**
 * Maximum sizes of values, checked by core and included in the HTTP API's schemas and `openapi.json`. Import the module
 * as a namespace, `LIMITS`, so that bundles contain only the used ones.
 */

/** Length of a name of a queue, job or group, a dedupe key or an id, in UTF-16 units. */
export const nameLength = 256;
/** Bytes of UTF-8 of a stored error's message and of its stack. Longer texts are cut. */
export const errorTextBytes = 8 * 1024;
/** Bytes of JSON of a result, and of a progress value. */
export const resultBytes = 128 * 1024;
/** Bytes of UTF-8 of a log line. Longer lines are cut. */
export const logLineBytes = 4 * 1024;
/** Number of log lines kept per job: the newest ones. */
export const logLines = 100;
/** Bytes of all progress values and log lines of a worker's running jobs. Beyond it, the oldest are dropped. */
export const reportBytes = 1024 * 1024;
/** Bytes of results, errors and reports per exchange. The rest goes with the next exchanges. */
export const exchangeBytes = 256 * 1024;
/** Number of tags of a job. */
export const tags = 32;
/** Length of a tag, in UTF-16 units. */
export const tagLength = 128;
/** Highest priority. The lowest is its negative. */
export const priority = 100;
/** Largest `maxAttempts`, `maxExceptions` and `maxInterruptions`. */
export const attempts = 1_000_000;
/** Number of jobs below one job of a flow, at all levels. */
export const flowJobs = 10_000;
/** Number of levels of a flow. */
export const flowDepth = 100;
/** Largest `limit` of a group. */
export const groupLimit = 10_000;
/** Number of jobs that one exchange claims, that a worker runs at once, and that it holds ahead. */
export const claim = 10_000;
/** Largest `factor` of a backoff. */
export const backoffFactor = 100;
/** Number of ended jobs kept per state. */
export const keep = 1_000_000;
/** Largest `maxActive` of a queue. */
export const maxActive = 1_000_000;
/** Largest `max` of a `rateLimit`. */
export const rateLimitMax = 1_000_000;
/** Shortest interval of a recurrence, in ms. */
export const everyLeastMs = 100;
/** Largest number of jobs in a page of a list. */
export const page = 1_000;
