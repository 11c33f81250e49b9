import { DEFAULTS, type Json, LIMITS } from "@quayside/core";
import { LAST_INSTANT, LONGEST_DURATION_MS } from "@quayside/core/engine";
import * as z from "zod/mini";
import { CALL_BOUNDS } from "../rpc/call-bounds.ts";
import { isDeeper, isJson } from "./json-text.ts";

/**
 * Schemas of the requests, from which the checks, the types and `openapi.json` are made. Core checks the values
 * (durations, names, combinations of options), so each rule is in one place. The schemas use zod/mini, which adds 4 kB
 * to a Worker; zod adds 92 kB.
 */

/** Schema of a duration; core checks the value. `core-schemas.ts` describes such values for `openapi.json`. */
export const duration = z.union([z.number(), z.string()]);
export const label = z.string();
export const priority = z.number();
export const attempts = z.number();
export const groupLimit = z.number();
export const factor = z.number();
export const jitter = z.number();
export const worker = z.string();
export const pageLimit = z.number();
/** Longest lease that a remote worker may request, in ms. */
const WEEK_MS = 604_800_000;
const count = z.int().check(z.minimum(0));
const atLeastOne = z.int().check(z.minimum(1));
const upTo = (most: number) => z.int().check(z.minimum(1), z.maximum(most));
const ms = z.int().check(z.minimum(0), z.maximum(LONGEST_DURATION_MS));
const instant = z.int().check(z.minimum(0), z.maximum(LAST_INSTANT));
/** Schema that accepts any value, because a parsed body contains only JSON. */
const json = z.unknown() as unknown as z.ZodMiniType<Json, Json>;
/** Schema of JSON as text, the form of a job's result in requests. */
const jsonText = z.string().check(
  z.refine((text) => !isDeeper(text, DEFAULTS.nestingLimit), `Nested more than ${DEFAULTS.nestingLimit} levels deep`),
  z.refine(isJson, "Not JSON text"),
);

const result = jsonText.check(z.maxLength(LIMITS.resultBytes));
const name = z.string().check(z.maxLength(LIMITS.nameLength));
const errorText = z.string().check(z.maxLength(LIMITS.errorTextBytes));

const backoff = z.union([
  duration,
  z.array(duration),
  z.strictObject({
    kind: z.enum(["fixed", "linear", "exponential"]),
    delay: duration,
    factor: z.exactOptional(factor),
    max: z.exactOptional(duration),
    jitter: z.exactOptional(jitter),
  }),
]);

const kept = z.int().check(z.minimum(0), z.maximum(LIMITS.keep));
const keep = z.strictObject({
  completed: z.exactOptional(kept),
  failed: z.exactOptional(kept),
  cancelled: z.exactOptional(kept),
});

const jobOptions = z.strictObject({
  id: z.exactOptional(label),
  delay: z.exactOptional(duration),
  availableAt: z.exactOptional(z.number()),
  priority: z.exactOptional(priority),
  maxAttempts: z.exactOptional(attempts),
  maxExceptions: z.exactOptional(attempts),
  maxInterruptions: z.exactOptional(attempts),
  group: z.exactOptional(z.strictObject({ key: label, limit: z.exactOptional(groupLimit) })),
  backoff: z.exactOptional(backoff),
  timeout: z.exactOptional(duration),
  dedupe: z.exactOptional(
    z.strictObject({
      key: label,
      mode: z.exactOptional(z.enum(["drop", "replace", "debounce", "throttle"])),
      ttl: z.exactOptional(duration),
      wait: z.exactOptional(duration),
      maxWait: z.exactOptional(duration),
    }),
  ),
  tags: z.exactOptional(z.array(label).check(z.maxLength(LIMITS.tags))),
  keep: z.exactOptional(keep),
  requires: z.exactOptional(z.enum(["network"])),
  expiresIn: z.exactOptional(duration),
});

/** A job to add. `options` are core's `JobOptions`: durations in ms or with a unit, `availableAt` in ms since epoch. */
export const jobBody = z.strictObject({
  name: label,
  payload: z.exactOptional(z.unknown()),
  options: z.exactOptional(jobOptions),
  /** The job's place in a tree of jobs that one request adds. */
  flow: z.exactOptional(
    z.strictObject({
      ref: z.exactOptional(z.string()),
      parentRef: z.exactOptional(z.string()),
      onFailure: z.exactOptional(z.enum(["fail", "ignore"])),
    }),
  ),
  /** W3C trace context (`traceparent`) of the caller. */
  trace: z.exactOptional(z.string().check(z.maxLength(256))),
  /** Set if the payload is encrypted: an envelope made by the queue's `encryption`. */
  sealed: z.exactOptional(z.literal(true)),
});

export const jobBodies = z.array(jobBody);

/** The fields of a waiting job that an update can change. */
export const updateBody = z.strictObject({
  payload: z.exactOptional(z.unknown()),
  sealed: z.exactOptional(z.literal(true)),
  priority: z.exactOptional(z.int().check(z.minimum(-LIMITS.priority), z.maximum(LIMITS.priority))),
  delay: z.exactOptional(duration),
});

/** The rule of a recurrence: core's `RecurrenceOption`, which says either `every` or `cron`. Core checks it. */
export const recurrenceRule = z.strictObject({
  every: z.exactOptional(duration),
  cron: z.exactOptional(z.string()),
  timeZone: z.exactOptional(z.string()),
  limit: z.exactOptional(atLeastOne),
  startAt: z.exactOptional(instant),
  endAt: z.exactOptional(instant),
  immediately: z.exactOptional(z.boolean()),
  overlap: z.exactOptional(z.enum(["allow", "skip"])),
});

/** A recurrence: its rule and the job that it adds. */
export const scheduleBody = z.strictObject({ rule: recurrenceRule, job: jobBody });

export const storedError = z.strictObject({
  // Any code, because newer workers may use codes that this version does not define.
  code: name,
  message: errorText,
  name: z.exactOptional(name),
  stack: z.exactOptional(errorText),
  details: z.exactOptional(z.record(z.string(), json)),
});

const token = z.string().check(z.maxLength(CALL_BOUNDS.tokenLength));

const settlement = z.discriminatedUnion("outcome", [
  z.strictObject({ token, outcome: z.literal("completed"), result: z.exactOptional(result) }),
  z.strictObject({
    token,
    outcome: z.literal("failed"),
    error: storedError,
    retryMs: z.exactOptional(ms),
  }),
  z.strictObject({ token, outcome: z.literal("released"), delayMs: ms }),
  z.strictObject({ token, outcome: z.literal("cancelled") }),
]);

/** An exchange of a worker with one queue: core's `ExchangeRequest` without the fields that the server adds. */
export const exchangeBody = z.strictObject({
  worker,
  name: z.exactOptional(name),
  leaseMs: upTo(WEEK_MS),
  exchange: atLeastOne,
  settle: z.array(settlement).check(z.maxLength(CALL_BOUNDS.tokens)),
  running: z.array(token).check(z.maxLength(CALL_BOUNDS.tokens)),
  progress: z.exactOptional(
    z
      .array(
        z.strictObject({
          token,
          value: z.exactOptional(json),
          log: z.exactOptional(
            z.array(z.string().check(z.maxLength(LIMITS.logLineBytes))).check(z.maxLength(LIMITS.logLines)),
          ),
        }),
      )
      .check(z.maxLength(CALL_BOUNDS.tokens)),
  ),
  claim: z.strictObject({
    limit: z.int().check(z.minimum(0), z.maximum(LIMITS.claim)),
    names: z.exactOptional(z.array(z.string())),
    /** Claims only jobs of the one name in `names`, once `size` are due or the oldest of fewer has waited `waitMs`. */
    batch: z.exactOptional(
      z.strictObject({
        size: upTo(LIMITS.claim),
        waitMs: z.int().check(z.minimum(0), z.maximum(LIMITS.batchWaitMs)),
      }),
    ),
    /**
     * Number of claimed jobs, out of `limit`, that may wait in the worker before they start. No jobs with a group and
     * no jobs of queues with limits are claimed ahead.
     */
    prefetch: z.exactOptional(z.int().check(z.minimum(0), z.maximum(LIMITS.claim))),
    busy: z.exactOptional(z.boolean()),
  }),
  /** For a split queue: the `memo` in the reply to the last exchange. */
  memo: z.exactOptional(z.string().check(z.maxLength(2_000))),
  /** Set if this exchange is a repeat. */
  again: z.exactOptional(z.boolean()),
  /**
   * Shards that this exchange skips, because the worker exchanges with each of them separately (`only`). The reply may
   * name further shards to skip (`late`).
   */
  apart: z.exactOptional(z.array(z.string().check(z.maxLength(4))).check(z.maxLength(1_000))),
  /** Makes the exchange with this shard only. */
  only: z.exactOptional(z.string().check(z.maxLength(4))),
  /** Set if the event stream has reported no change since the last exchange. */
  quiet: z.exactOptional(z.boolean()),
  leave: z.exactOptional(z.boolean()),
  bystander: z.exactOptional(z.boolean()),
});

export const state = z.enum(["waiting", "delayed", "active", "completed", "failed", "cancelled"]);

/** Schema of the tags by which a list is filtered. Their number is limited as the tags of a job are. */
const tags = z.array(z.string()).check(z.maxLength(LIMITS.tags));

export const listQuery = z.strictObject({
  state: z.exactOptional(state),
  limit: z.exactOptional(pageLimit),
  cursor: z.exactOptional(z.string()),
  tags: z.exactOptional(tags),
});

/** Ids of jobs to read. */
export const idsBody = z.strictObject({ ids: z.array(name).check(z.minLength(1), z.maxLength(LIMITS.page)) });

/** Query for a page: `after` is the position at which the previous page ended. */
export const afterQuery = z.strictObject({ after: z.exactOptional(z.string()) });

/** Query for a page of recurrences: `after` is the key at which the previous page ended. */
export const afterKeyQuery = z.strictObject({ after: z.exactOptional(name) });

const filter = {
  name: z.exactOptional(z.string()),
  tags: z.exactOptional(tags),
  olderThan: z.exactOptional(duration),
};

export const clearQuery = z.strictObject({ state: z.exactOptional(state), ...filter });

export const retryQuery = z.strictObject({ state: z.exactOptional(z.enum(["failed", "cancelled"])), ...filter });

export const settingsBody = z.strictObject({
  keep: z.exactOptional(keep),
  rateLimit: z.exactOptional(z.nullable(z.strictObject({ max: upTo(LIMITS.rateLimitMax), per: duration }))),
  maxActive: z.exactOptional(z.nullable(upTo(LIMITS.maxActive))),
  maxWaiting: z.exactOptional(z.nullable(upTo(LIMITS.maxWaiting))),
});

/**
 * Fields of the header `quayside-request`, with which a driver numbers its requests (R7): a repeated request adds
 * nothing.
 */
export const requestHeader = z.strictObject({
  // Longer than a name, because a driver appends the number of the request's part.
  sender: z.string().check(z.minLength(1), z.maxLength(300)),
  number: count,
  digest: z.string().check(z.minLength(1), z.maxLength(256)),
  ttlMs: z.exactOptional(upTo(DEFAULTS.markMs)),
  subject: z.exactOptional(z.string().check(z.maxLength(64))),
});

/** Body of a request that adds a job. */
export type JobBody = z.output<typeof jobBody>;
/** Body of a request that updates a waiting job. */
export type UpdateBody = z.output<typeof updateBody>;
/** Body of a request that sets a recurrence. */
export type ScheduleBody = z.output<typeof scheduleBody>;
/** Body of an exchange. */
export type ExchangeBody = z.output<typeof exchangeBody>;
/** Body of a request that sets a queue's settings. */
export type SettingsBody = z.output<typeof settingsBody>;
/** Query of `GET /:queue/jobs`. */
export type ListParameters = z.output<typeof listQuery>;
/** Query of `POST /:queue/clear`. */
export type ClearParameters = z.output<typeof clearQuery>;
/** Query of `POST /:queue/retry`. */
export type RetryParameters = z.output<typeof retryQuery>;
