import { DEFAULTS, LIMITS, QuaysideError } from "@quayside/core";
import {
  type Command,
  describe,
  type ExchangeRequest,
  LAST_INSTANT,
  LONGEST_DURATION_MS,
  type NewJob,
  type NumberedRequest,
} from "@quayside/core/engine";
import { isDeeper, isJson } from "./api/json-text.ts";
import { CALL_BOUNDS } from "./call-bounds.ts";

/**
 * Checks of what an object is asked over RPC. Over HTTP schemas have looked at it; another Worker may send anything, and
 * one record that cannot be read again would stop lists and claims of the whole queue.
 */
type Check = (value: unknown, option: string) => void;

const must = (rule: string, holds: (value: unknown) => boolean): Check => {
  return (value, option) => {
    if (holds(value)) return;
    const message = `${option} must be ${rule}, got ${describe(value).slice(0, 100)}.`;
    throw new QuaysideError("invalid_option", message, { option });
  };
};
const between = (least: number, most: number) =>
  must(`a number from ${least} to ${most}`, (value) => typeof value === "number" && value >= least && value <= most);
const whole = (least: number, most: number) =>
  must(
    `a whole number from ${least} to ${most}`,
    (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
  );
const text = (most: number) =>
  must(`a text of at most ${most} characters`, (value) => typeof value === "string" && value.length <= most);
const object = must("an object", (value) => typeof value === "object" && value !== null && !Array.isArray(value));
const json = must(
  `JSON text, nested at most ${DEFAULTS.nestingLimit} levels deep`,
  (value) => typeof value === "string" && !isDeeper(value, DEFAULTS.nestingLimit) && isJson(value),
);
const orNull =
  (check: Check): Check =>
  (value, option) => {
    if (value !== null) check(value, option);
  };
const list =
  (of: Check, most: number): Check =>
  (value, option) => {
    must("a list", Array.isArray)(value, option);
    const entries = value as readonly unknown[];
    if (entries.length > most)
      throw new QuaysideError(
        "invalid_option",
        `${option} has ${entries.length} entries; at most ${most} are allowed in one call.`,
        { option },
      );
    // Not forEach, which leaves out holes.
    for (let index = 0; index < entries.length; index++) of(entries[index], `${option}[${index}]`);
  };
/** An object whose fields, where they are there, pass. */
const record =
  (checks: Readonly<Record<string, Check>>, needed: readonly string[] = []): Check =>
  (value, option) => {
    object(value, option);
    for (const field in checks) {
      const part = (value as Readonly<Record<string, unknown>>)[field];
      if (part !== undefined || needed.includes(field)) checks[field]?.(part, option ? `${option}.${field}` : field);
    }
  };

const delay = between(0, LONGEST_DURATION_MS);
const period = between(1, LONGEST_DURATION_MS);
const times = whole(1, LIMITS.attempts);
const kept = whole(0, LIMITS.keep);
const keep = record({ completed: kept, failed: kept, cancelled: kept });
const priority = whole(-LIMITS.priority, LIMITS.priority);
const name = text(LIMITS.nameLength);

const JOB: Readonly<Record<string, Check>> = {
  delayMs: delay,
  expiresInMs: period,
  timeoutMs: period,
  priority,
  maxAttempts: times,
  maxExceptions: times,
  maxInterruptions: times,
  group: record({ limit: whole(1, LIMITS.groupLimit) }),
  dedupe: record({
    mode: must("drop, replace, debounce or throttle", (mode) =>
      ["drop", "replace", "debounce", "throttle"].includes(mode as string),
    ),
    ttlMs: period,
    maxWaitMs: period,
  }),
  keep,
  backoff: object,
  flow: object,
};
const job = record({ payload: json, ...JOB }, ["payload"]);
const request = record(
  {
    number: whole(0, Number.MAX_SAFE_INTEGER),
    digest: text(LIMITS.nameLength),
    ttlMs: period,
  },
  ["number", "digest"],
);
const token = text(CALL_BOUNDS.tokenLength);
const tokens = (of: Check) => list(of, CALL_BOUNDS.tokens);
const settlement = record({ token, result: json, retryMs: delay, delayMs: delay }, ["token"]);
const claimed = whole(0, LIMITS.claim);
const round = record(
  {
    leaseMs: between(1, LONGEST_DURATION_MS),
    exchange: whole(1, Number.MAX_SAFE_INTEGER),
    worker: name,
    name,
    settle: tokens(settlement),
    running: tokens(token),
    progress: tokens(record({ token }, ["token"])),
    claim: record(
      {
        limit: claimed,
        prefetch: claimed,
        bytes: between(0, Number.MAX_SAFE_INTEGER),
        queues: list(
          record({ queue: name, limit: claimed, names: list(name, 100_000) }, ["queue"]),
          CALL_BOUNDS.queues,
        ),
      },
      ["limit", "queues"],
    ),
  },
  ["worker", "leaseMs", "exchange", "settle", "running", "claim"],
);
const instant = between(0, LAST_INSTANT);
const filter = { olderThanMs: delay, tags: list(name, LIMITS.tags), name };
const addressed = record({ queue: name, id: name }, ["queue", "id"]);
const COMMANDS: Readonly<Record<Command["type"], Check>> = {
  cancel: addressed,
  retry: addressed,
  promote: addressed,
  remove: addressed,
  update: record({ queue: name, id: name, payload: json, priority, delayMs: delay }, ["queue", "id"]),
  retryAll: record({ queue: name, ...filter }, ["queue"]),
  clear: record({ queue: name, ...filter }, ["queue"]),
  pause: record({ queue: name }, ["queue"]),
  resume: record({ queue: name }, ["queue"]),
  configure: record(
    {
      queue: name,
      keep,
      maxActive: orNull(whole(1, LIMITS.maxActive)),
      rateLimit: orNull(record({ max: whole(1, LIMITS.rateLimitMax), perMs: period }, ["max", "perMs"])),
    },
    ["queue"],
  ),
  schedule: record(
    {
      queue: name,
      rule: (rule, option) => {
        record({ startAt: instant, endAt: instant, limit: whole(0, Number.MAX_SAFE_INTEGER) })(rule, option);
        if ((rule as { readonly kind?: unknown }).kind === "every")
          record({ everyMs: period }, ["everyMs"])(rule, option);
      },
      job,
    },
    ["queue", "rule", "job"],
  ),
  unschedule: record({ queue: name, key: name }, ["queue", "key"]),
};

/** @throws {QuaysideError} `invalid_option` for what cannot be stored, or not be read again. */
export function checkJobs(jobs: readonly NewJob[], sent?: NumberedRequest): void {
  list(job, Number.POSITIVE_INFINITY)(jobs, "jobs");
  if (sent !== undefined) request(sent, "request");
}

/** @throws {QuaysideError} `invalid_option` for a round that no worker makes, or that says more than one can have to say. */
export function checkRound(asked: ExchangeRequest): ExchangeRequest {
  object(asked, "request");
  round(asked, "");
  return asked;
}

/** @throws {QuaysideError} `invalid_option` for what no operator asks. A type that is unknown is left to the driver. */
export function checkCommand(command: Command): Command {
  record({})(command, "command");
  if (Object.hasOwn(COMMANDS, command.type)) COMMANDS[command.type](command, "");
  return command;
}
