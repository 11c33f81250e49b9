import * as z from "zod/mini";
import { type FieldError, FieldsError, joinPath, summary } from "./problem.ts";

/**
 * The shape of what comes in. Core checks the values (ranges, durations, names) where it resolves them: a rule stands
 * in one place. zod/mini, because a Worker's start-up time and size are its users' (4 kB in place of 92).
 */

const duration = z.union([z.number(), z.string()]);
/** Longest lease that a remote worker may ask for. */
const WEEK_MS = 604_800_000;
const count = z.int().check(z.minimum(0));

const backoff = z.union([
  duration,
  z.array(duration),
  z.strictObject({
    kind: z.enum(["fixed", "linear", "exponential"]),
    delay: duration,
    factor: z.exactOptional(z.number()),
    max: z.exactOptional(duration),
    jitter: z.exactOptional(z.number()),
  }),
]);

const keep = z.strictObject({
  completed: z.exactOptional(count),
  failed: z.exactOptional(count),
  cancelled: z.exactOptional(count),
});

const jobOptions = z.strictObject({
  id: z.exactOptional(z.string()),
  delay: z.exactOptional(duration),
  availableAt: z.exactOptional(z.number()),
  priority: z.exactOptional(z.number()),
  maxAttempts: z.exactOptional(z.number()),
  maxExceptions: z.exactOptional(z.number()),
  group: z.exactOptional(z.strictObject({ key: z.string(), limit: z.exactOptional(z.number()) })),
  backoff: z.exactOptional(backoff),
  timeout: z.exactOptional(duration),
  dedupe: z.exactOptional(
    z.strictObject({
      key: z.string(),
      mode: z.exactOptional(z.enum(["drop", "replace", "debounce", "throttle"])),
      ttl: z.exactOptional(duration),
      maxWait: z.exactOptional(duration),
    }),
  ),
  tags: z.exactOptional(z.array(z.string())),
  keep: z.exactOptional(keep),
  requires: z.exactOptional(z.enum(["network"])),
  expiresIn: z.exactOptional(duration),
});

/** A job to add: `options` are core's `JobOptions`, durations as ms or with a unit, `availableAt` in ms since epoch. */
export const jobBody = z.strictObject({
  name: z.string(),
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
});

/** What of a waiting job to change. */
export const updateBody = z.strictObject({
  payload: z.exactOptional(z.unknown()),
  priority: z.exactOptional(z.int().check(z.minimum(-100), z.maximum(100))),
  delay: z.exactOptional(duration),
});

const bounds = {
  limit: z.exactOptional(z.int().check(z.minimum(1))),
  startAt: z.exactOptional(count),
  endAt: z.exactOptional(count),
};

/** A recurrence: its rule, as core resolves it, and the job it makes. */
export const scheduleBody = z.strictObject({
  rule: z.discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("every"),
      everyMs: z.int().check(z.minimum(100)),
      ...bounds,
    }),
    z.strictObject({ kind: z.literal("cron"), cron: z.string(), timeZone: z.exactOptional(z.string()), ...bounds }),
  ]),
  job: z.unknown(),
});

const storedError = z.strictObject({
  // Any code: a newer worker may know more of them.
  code: z.string(),
  message: z.string(),
  name: z.exactOptional(z.string()),
  stack: z.exactOptional(z.string()),
  details: z.exactOptional(z.record(z.string(), z.json())),
});

const settlement = z.discriminatedUnion("outcome", [
  z.strictObject({ token: z.string(), outcome: z.literal("completed"), result: z.exactOptional(z.string()) }),
  z.strictObject({
    token: z.string(),
    outcome: z.literal("failed"),
    error: storedError,
    retryMs: z.exactOptional(count),
  }),
  z.strictObject({ token: z.string(), outcome: z.literal("released"), delayMs: count }),
  z.strictObject({ token: z.string(), outcome: z.literal("cancelled") }),
]);

/** A worker's round with one queue: core's `ExchangeRequest` without what the server says itself. */
export const exchangeBody = z.strictObject({
  worker: z.string(),
  name: z.exactOptional(z.string()),
  leaseMs: z.int().check(z.minimum(1), z.maximum(WEEK_MS)),
  exchange: z.int().check(z.minimum(1)),
  settle: z.array(settlement),
  running: z.array(z.string()),
  progress: z.exactOptional(
    z.array(
      z.strictObject({
        token: z.string(),
        value: z.exactOptional(z.json()),
        log: z.exactOptional(z.array(z.string())),
      }),
    ),
  ),
  claim: z.strictObject({
    limit: z.int().check(z.minimum(0), z.maximum(10_000)),
    names: z.exactOptional(z.array(z.string())),
    busy: z.exactOptional(z.boolean()),
  }),
  /** Of a queue that is split: what the reply to the last exchange said to bring along. */
  memo: z.exactOptional(z.string().check(z.maxLength(2_000))),
  /** This exchange was sent before. */
  again: z.exactOptional(z.boolean()),
  /** The stream of events told of nothing since the last exchange. */
  quiet: z.exactOptional(z.boolean()),
  leave: z.exactOptional(z.boolean()),
  bystander: z.exactOptional(z.boolean()),
});

const state = z.enum(["waiting", "delayed", "active", "completed", "failed", "cancelled"]);

export const listQuery = z.strictObject({
  state: z.exactOptional(state),
  limit: z.exactOptional(z.coerce.number()),
  cursor: z.exactOptional(z.string()),
  tags: z.exactOptional(z.array(z.string())),
});

const filter = {
  name: z.exactOptional(z.string()),
  tags: z.exactOptional(z.array(z.string())),
  olderThanMs: z.exactOptional(z.coerce.number().check(z.minimum(0))),
};

export const clearQuery = z.strictObject({ state: z.exactOptional(state), ...filter });

export const retryQuery = z.strictObject({ state: z.exactOptional(z.enum(["failed", "cancelled"])), ...filter });

const atLeastOne = z.int().check(z.minimum(1));

export const settingsBody = z.strictObject({
  keep: z.exactOptional(keep),
  rateLimit: z.exactOptional(z.nullable(z.strictObject({ max: atLeastOne, perMs: atLeastOne }))),
  maxActive: z.exactOptional(z.nullable(atLeastOne)),
});

/** The header by which a driver numbers its requests (R7), so that one sent again adds nothing. */
export const requestHeader = z.strictObject({
  // A driver adds the number of the part to its name.
  sender: z.string().check(z.minLength(1), z.maxLength(300)),
  number: z.coerce.number().check(z.int(), z.minimum(0)),
  digest: z.string().check(z.minLength(1), z.maxLength(256)),
});

const english = z.locales.en().localeError;

/**
 * `value` as `schema` understands it.
 *
 * @param root path of `value` in the request, e.g. `[3]`.
 * @throws {FieldsError} `bad_request`, naming each wrong field.
 */
export function check<Schema extends z.ZodMiniType>(schema: Schema, value: unknown, root = ""): z.output<Schema> {
  const result = schema.safeParse(value, { error: english });
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap((issue) => fieldErrors(issue, root));
  throw new FieldsError("bad_request", `The request is not of the right shape: ${summary(errors)}.`, errors);
}

function fieldErrors(issue: z.core.$ZodIssue, root: string): readonly FieldError[] {
  const path = joinPath(root, issue.path);
  if (issue.code !== "unrecognized_keys") return [{ path, message: issue.message }];
  return issue.keys.map((key) => ({ path: joinPath(path, [key]), message: "There is no such field." }));
}
