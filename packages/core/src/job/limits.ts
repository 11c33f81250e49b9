/**
 * The bounds of values. Core checks them, and the HTTP API repeats them in its schemas and in `openapi.json`. Import this
 * module as a namespace, `LIMITS`: a bundle then holds only those bounds that it uses.
 */

/** Length of a name of a queue, job or group, a dedupe key or an id, in UTF-16 units. */
export const nameLength = 256;
/** The message and the stack of a stored error, each in bytes of UTF-8. Longer ones are cut. */
export const errorTextBytes = 8 * 1024;
/** The result of an attempt and a report of its progress, each in bytes of JSON. */
export const resultBytes = 128 * 1024;
/** A line of a job's log, in bytes of UTF-8. A longer one is cut. */
export const logLineBytes = 4 * 1024;
/** Log lines kept with a job: the newest ones. */
export const logLines = 100;
/** Progress and log lines of all jobs that one worker runs, in bytes. Over it the oldest are deleted. */
export const reportBytes = 1024 * 1024;
/** Results, errors and reports in one exchange, in bytes. Those over it travel in the next exchanges. */
export const exchangeBytes = 256 * 1024;
/** Number of tags of a job. */
export const tags = 32;
/** Length of a tag, in UTF-16 units. */
export const tagLength = 128;
/** Highest priority. The lowest is its negative. */
export const priority = 100;
/** Largest `maxAttempts`, `maxExceptions` and `maxInterruptions`. */
export const attempts = 1_000_000;
/** Number of jobs that one job of a flow waits for, directly or through its children. */
export const flowJobs = 10_000;
/** Number of levels of a flow. */
export const flowDepth = 100;
/** Largest `limit` of a group. */
export const groupLimit = 10_000;
/** Number of jobs that one exchange may ask for, that a worker runs at once, or that it holds ahead. */
export const claim = 10_000;
/** Largest `factor` of a backoff. */
export const backoffFactor = 100;
/** Number of ended jobs that a queue keeps of one state. */
export const keep = 1_000_000;
/** Largest `maxActive` of a queue. */
export const maxActive = 1_000_000;
/** Largest `max` of a `rateLimit`. */
export const rateLimitMax = 1_000_000;
/** Shortest interval of a recurrence, in ms. */
export const everyLeastMs = 100;
/** Largest number of jobs in a page of a list. */
export const page = 1_000;
