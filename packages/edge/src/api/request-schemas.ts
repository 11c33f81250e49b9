import { DEFAULTS, type Json, LIMITS } from "@quayside/core";
import { LAST_INSTANT, LONGEST_DURATION_MS } from "@quayside/core/engine";
import * as z from "zod/mini";
import { CALL_BOUNDS } from "../rpc/call-bounds.ts";
import { isDeeper, isJson } from "./json-text.ts";

/**
 * Schemas of the requests: the source of the checks, the types and `openapi.json`. Core checks the values (durations,
 * names, combinations of options) where it resolves them, so each rule is in one place. They use zod/mini, which adds 4
 * kB to a Worker in place of 92.
 */

/** Values that core checks. `core-schemas.ts` has their description for `openapi.json`. */
export const duration = z.union([z.number(), z.string()]);
export const label = z.string();
export const priority = z.number();
export const attempts = z.number();
export const groupLimit = z.number();
export const factor = z.number();
export const jitter = z.number();
export const worker = z.string();
export const pageLimit = z.number();
/** Longest lease that a remote worker may ask for. */
const WEEK_MS = 604_800_000;
const count = z.int().check(z.minimum(0));
const atLeastOne = z.int().check(z.minimum(1));
const upTo = (most: number) => z.int().check(z.minimum(1), z.maximum(most));
const ms = z.int().check(z.minimum(0), z.maximum(LONGEST_DURATION_MS));
const period = upTo(LONGEST_DURATION_MS);
const instant = z.int().check(z.minimum(0), z.maximum(LAST_INSTANT));
/** Accepts any value: a parsed body contains only JSON. */
const json = z.unknown() as unknown as z.ZodMiniType<Json, Json>;
/** JSON as text, as a job's result travels. */
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
      maxWait: z.exactOptional(duration),
    }),
  ),
  tags: z.exactOptional(z.array(label).check(z.maxLength(LIMITS.tags))),
  keep: z.exactOptional(keep),
  requires: z.exactOptional(z.enum(["network"])),
  expiresIn: z.exactOptional(duration),
});

/** A job to add: `options` are core's `JobOptions`, durations as ms or with a unit, `availableAt` in ms since epoch. */
export const jobBody = z.strictObject({
  name: label,
  payload: z.exactOptional(z.unknown()),
  options: z.exactOptional(jobOptions),
  /** Its place in a tree of jobs, all of one request. */
  flow: z.exactOptional(
    z.strictObject({
      ref: z.exactOptional(z.string()),
      parentRef: z.exactOptional(z.string()),
      onFailure: z.exactOptional(z.enum(["fail", "ignore"])),
    }),
  ),
  /** W3C trace context of who adds it. */
  trace: z.exactOptional(z.string().check(z.maxLength(256))),
  /** The payload is an envelope: `encryption` of a queue made it. */
  sealed: z.exactOptional(z.literal(true)),
});

export const jobBodies = z.array(jobBody);

/** The fields of a waiting job that can be changed. */
export const updateBody = z.strictObject({
  payload: z.exactOptional(z.unknown()),
  sealed: z.exactOptional(z.literal(true)),
  priority: z.exactOptional(z.int().check(z.minimum(-LIMITS.priority), z.maximum(LIMITS.priority))),
  delay: z.exactOptional(duration),
});

const bounds = {
  limit: z.exactOptional(atLeastOne),
  startAt: z.exactOptional(instant),
  endAt: z.exactOptional(instant),
  immediately: z.exactOptional(z.literal(true)),
  overlap: z.exactOptional(z.literal("skip")),
};

/** A recurrence: its rule, as core resolves it, and the job it makes. */
export const scheduleBody = z.strictObject({
  rule: z.discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("every"),
      everyMs: z.int().check(z.minimum(LIMITS.everyLeastMs), z.maximum(LONGEST_DURATION_MS)),
      ...bounds,
    }),
    z.strictObject({ kind: z.literal("cron"), cron: z.string(), timeZone: z.exactOptional(z.string()), ...bounds }),
  ]),
  job: jobBody,
});

export const storedError = z.strictObject({
  // Any code: a newer worker may know more of them.
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

/** A worker's round with one queue: core's `ExchangeRequest` without what the server says itself. */
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
    /** The last so many of `limit` are not to start at once: nothing of a group, or of a queue with limits. */
    prefetch: z.exactOptional(z.int().check(z.minimum(0), z.maximum(LIMITS.claim))),
    busy: z.exactOptional(z.boolean()),
  }),
  /** Of a queue that is split: what the reply to the last exchange said to bring along. */
  memo: z.exactOptional(z.string().check(z.maxLength(2_000))),
  /** This exchange was sent before. */
  again: z.exactOptional(z.boolean()),
  /** Shards that the worker asks one by one (`only`): this exchange is with the others, and may name more of them (`late`). */
  apart: z.exactOptional(z.array(z.string().check(z.maxLength(4))).check(z.maxLength(1_000))),
  /** The one shard that this exchange is with. */
  only: z.exactOptional(z.string().check(z.maxLength(4))),
  /** The stream of events told of nothing since the last exchange. */
  quiet: z.exactOptional(z.boolean()),
  leave: z.exactOptional(z.boolean()),
  bystander: z.exactOptional(z.boolean()),
});

export const state = z.enum(["waiting", "delayed", "active", "completed", "failed", "cancelled"]);

/** A job has no more. */
const tags = z.array(z.string()).check(z.maxLength(LIMITS.tags));

export const listQuery = z.strictObject({
  state: z.exactOptional(state),
  limit: z.exactOptional(pageLimit),
  cursor: z.exactOptional(z.string()),
  tags: z.exactOptional(tags),
});

/** Where the page before ended. */
export const afterQuery = z.strictObject({ after: z.exactOptional(z.string()) });

const filter = {
  name: z.exactOptional(z.string()),
  tags: z.exactOptional(tags),
  olderThanMs: z.exactOptional(ms),
};

export const clearQuery = z.strictObject({ state: z.exactOptional(state), ...filter });

export const retryQuery = z.strictObject({ state: z.exactOptional(z.enum(["failed", "cancelled"])), ...filter });

export const settingsBody = z.strictObject({
  keep: z.exactOptional(keep),
  rateLimit: z.exactOptional(z.nullable(z.strictObject({ max: upTo(LIMITS.rateLimitMax), perMs: period }))),
  maxActive: z.exactOptional(z.nullable(upTo(LIMITS.maxActive))),
});

/** The header by which a driver numbers its requests (R7), so that one sent again adds nothing. */
export const requestHeader = z.strictObject({
  // A driver adds the number of the part to its name.
  sender: z.string().check(z.minLength(1), z.maxLength(300)),
  number: count,
  digest: z.string().check(z.minLength(1), z.maxLength(256)),
  ttlMs: z.exactOptional(upTo(DEFAULTS.markMs)),
  subject: z.exactOptional(z.string().check(z.maxLength(64))),
});

/** Body of a job that is added over HTTP. */
export type JobBody = z.output<typeof jobBody>;
/** Body of a change to a waiting job. */
export type UpdateBody = z.output<typeof updateBody>;
/** Body of a recurrence. */
export type ScheduleBody = z.output<typeof scheduleBody>;
/** Body of an exchange over HTTP. */
export type ExchangeBody = z.output<typeof exchangeBody>;
/** Body of the settings of a queue. */
export type SettingsBody = z.output<typeof settingsBody>;
/** Query of `GET /:queue/jobs`. */
export type ListParameters = z.output<typeof listQuery>;
/** Query of `POST /:queue/clear`. */
export type ClearParameters = z.output<typeof clearQuery>;
/** Query of `POST /:queue/retry`. */
export type RetryParameters = z.output<typeof retryQuery>;
