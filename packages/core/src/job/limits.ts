/** The widest that values may be: checked here, and said again by the HTTP API's schemas and its `openapi.json`. */
export const LIMITS = {
  /** Longest name of a queue, a job, a group, a tag, a dedupe key or an id, in UTF-16 units. */
  nameLength: 256,
  /** Message and stack of an error that is stored, each, in bytes of UTF-8: what is longer is cut. */
  errorTextBytes: 8 * 1024,
  /** Result of an attempt, and a report of its progress, each, in bytes of JSON. */
  resultBytes: 128 * 1024,
  /** A line of a job's log, in bytes of UTF-8: what is longer is cut. */
  logLineBytes: 4 * 1024,
  /** Lines of log kept with a job: the last ones. */
  logLines: 100,
  /** All progress and lines of log of the jobs that one worker runs, in bytes: beyond it the oldest go. */
  reportBytes: 1024 * 1024,
  /** Results, errors and reports in one exchange, in bytes; the rest goes in the next exchanges. */
  exchangeBytes: 256 * 1024,
  /** Tags of a job. */
  tags: 32,
  /** Longest tag, in UTF-16 units. */
  tagLength: 128,
  /** Highest priority; the lowest is minus this. */
  priority: 100,
  /** `maxAttempts`, `maxExceptions`, `maxInterruptions`. */
  attempts: 1_000_000,
  /** Jobs that one job of a flow waits for, directly or through its children. */
  flowJobs: 10_000,
  /** Levels of a flow: a job, its children, their children … */
  flowDepth: 100,
  groupLimit: 10_000,
  /** Jobs that one exchange may ask for, and that a worker runs, or holds ahead. */
  claim: 10_000,
  backoffFactor: 100,
  /** Ended jobs kept of a state. */
  keep: 1_000_000,
  maxActive: 1_000_000,
  /** Jobs of a `rateLimit` per its time. */
  rateLimitMax: 1_000_000,
  /** Shortest interval of a recurrence: it is for clockwork, not for loops. */
  everyLeastMs: 100,
  /** Jobs of a page. */
  page: 1_000,
} as const;
