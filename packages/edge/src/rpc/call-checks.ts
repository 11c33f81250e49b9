import { LIMITS, QuaysideError } from "@quayside/core";
import {
  type Command,
  type ExchangeRequest,
  LAST_INSTANT,
  type ListQuery,
  LONGEST_DURATION_MS,
  type NewJob,
  type NumberedRequest,
  type Settlement,
} from "@quayside/core/engine";
import { SHARDS_LIMIT } from "../shards/names.ts";
import { CALL_BOUNDS } from "./call-bounds.ts";
import {
  anyText,
  between,
  both,
  type Check,
  data,
  distinct,
  entriesOf,
  flag,
  json,
  list,
  object,
  oneOf,
  only,
  orNull,
  record,
  text,
  whole,
} from "./field-checks.ts";
import type { ShardVerbs } from "./queue-rpc.ts";

/**
 * Checks of the arguments of RPC calls. HTTP requests are checked by schemas; another Worker may send anything, and one
 * unreadable record would block lists and claims of the whole queue.
 */

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
    mode: oneOf("drop", "replace", "debounce", "throttle"),
    ttlMs: period,
    maxWaitMs: period,
  }),
  keep,
  backoff: object,
  flow: object,
};
const job = both(record({ payload: json, ...JOB }, ["payload"]), data);
const jobs = list(job, CALL_BOUNDS.jobs);
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
const errorText = text(LIMITS.errorTextBytes);
const storedError = record({ code: name, message: errorText, name, stack: errorText, details: object }, [
  "code",
  "message",
]);
const SETTLEMENTS: Readonly<Record<Settlement["outcome"], Check>> = {
  completed: record({ token, result: both(text(LIMITS.resultBytes), json) }, ["token"]),
  failed: record({ token, error: storedError, retryMs: delay }, ["token", "error"]),
  released: record({ token, delayMs: delay }, ["token", "delayMs"]),
  cancelled: record({ token }, ["token"]),
};
const ended = record({ outcome: oneOf(...Object.keys(SETTLEMENTS)) }, ["outcome"]);
const settlement: Check = (value, option) => {
  ended(value, option);
  SETTLEMENTS[(value as Settlement).outcome](value, option);
};
const report = record({ token, log: list(text(LIMITS.logLineBytes), LIMITS.logLines) }, ["token"]);
const claimed = whole(0, LIMITS.claim);
const batch = record({ size: whole(1, LIMITS.claim), waitMs: whole(0, LIMITS.batchWaitMs) }, ["size", "waitMs"]);
const round = record(
  {
    leaseMs: between(1, LONGEST_DURATION_MS),
    exchange: whole(1, Number.MAX_SAFE_INTEGER),
    worker: name,
    name,
    settle: tokens(settlement),
    running: tokens(token),
    progress: tokens(report),
    claim: record(
      {
        limit: claimed,
        prefetch: claimed,
        bytes: between(0, Number.MAX_SAFE_INTEGER),
        queues: list(
          record({ queue: name, limit: claimed, names: list(name, 100_000), batch }, ["queue"]),
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
const maxActive = whole(1, LIMITS.maxActive);
const maxWaiting = whole(1, LIMITS.maxWaiting);
const rateLimit = record({ max: whole(1, LIMITS.rateLimitMax), perMs: period }, ["max", "perMs"]);
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
      maxActive: orNull(maxActive),
      maxWaiting: orNull(maxWaiting),
      rateLimit: orNull(rateLimit),
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

const query = record(
  {
    queue: anyText,
    state: anyText,
    tags: list(anyText, LIMITS.tags),
    cursor: anyText,
    bytes: between(0, Number.MAX_SAFE_INTEGER),
  },
  ["queue"],
);

const count = whole(1, SHARDS_LIMIT);
/**
 * Check of the settings that a split queue copies to a new shard. Refuses unknown fields, because they would be stored.
 */
const standing = both(
  record({ paused: flag, keep, maxActive, maxWaiting, rateLimit }),
  only("paused", "keep", "maxActive", "maxWaiting", "rateLimit"),
);
const SHARD: Readonly<Record<keyof ShardVerbs, Check>> = {
  add: record(
    {
      shard: whole(0, SHARDS_LIMIT - 1),
      jobs,
      request,
      layout: record({ count, previous: count }, ["count"]),
      queues: list(name, CALL_BOUNDS.queues),
      settings: entriesOf(standing),
      units: list(whole(0, Number.MAX_SAFE_INTEGER)),
      byId: flag,
    },
    ["shard", "jobs", "layout"],
  ),
  recall: record({ jobs, request, count }, ["jobs", "request", "count"]),
  // One queue per job: each queue's first use costs reads.
  spend: record({ queues: both(list(name), distinct(CALL_BOUNDS.queues)), request, quota: object }, [
    "queues",
    "quota",
  ]),
  settings: record({ queue: name }, ["queue"]),
};

/**
 * Checks jobs to add.
 *
 * @throws {QuaysideError} `invalid_option` for a job that could not be stored or read back.
 */
export function checkJobs(given: readonly NewJob[], sent?: NumberedRequest): void {
  jobs(given, "jobs");
  if (sent !== undefined) request(sent, "request");
}

/**
 * Checks the request of an exchange.
 *
 * @throws {QuaysideError} `invalid_option` for a malformed request, or one with more tokens than a worker can hold.
 */
export function checkRound(asked: ExchangeRequest): ExchangeRequest {
  object(asked, "request");
  round(asked, "");
  data(asked, "");
  return asked;
}

/**
 * Checks a command. Leaves unknown command types to the driver.
 *
 * @throws {QuaysideError} `invalid_option` for a malformed command.
 */
export function checkCommand(command: Command): Command {
  object(command, "command");
  if (Object.hasOwn(COMMANDS, command.type)) COMMANDS[command.type](command, "");
  data(command, "");
  return command;
}

/**
 * Checks the query of a list of jobs.
 *
 * @throws {QuaysideError} `invalid_option` for a malformed query, or one whose result could exceed a reply's limits.
 */
export function checkQuery(asked: ListQuery): ListQuery {
  object(asked, "query");
  query(asked, "");
  return asked;
}

/**
 * Checks a list of queue names.
 *
 * @throws {QuaysideError} `invalid_option` for values that are not text, or too many names.
 */
export function checkQueues(queues: readonly string[]): readonly string[] {
  list(anyText, CALL_BOUNDS.queues)(queues, "queues");
  return queues;
}

/**
 * Checks the arguments of a read of many jobs.
 *
 * @throws {QuaysideError} `invalid_option` for values of another type, or too many ids.
 */
export function checkIds(queue: string, ids: readonly string[], bytes: number | undefined): void {
  checkTexts({ queue });
  list(anyText, LIMITS.page)(ids, "ids");
  if (bytes !== undefined) between(0, Number.MAX_SAFE_INTEGER)(bytes, "bytes");
}

/**
 * Checks that each argument is text.
 *
 * @throws {QuaysideError} `invalid_option`, naming the argument.
 */
export function checkTexts(texts: Readonly<Record<string, unknown>>): void {
  for (const option in texts) anyText(texts[option], option);
}

/**
 * Checks a call from the driver of a split queue to one shard.
 *
 * @throws {QuaysideError} `bad_request` for an unknown verb; `invalid_option` for malformed arguments.
 */
export function checkShard<Verb extends keyof ShardVerbs>(verb: Verb, ask: ShardVerbs[Verb]["ask"]): void {
  if (!Object.hasOwn(SHARD, verb)) throw new QuaysideError("bad_request", `A shard has no verb ${String(verb)}.`);
  object(ask, "ask");
  SHARD[verb](ask, "");
  data(ask, "");
  if ("units" in ask && ask.units && ask.units.length !== ask.jobs.length)
    throw new QuaysideError("invalid_option", `units must name the unit of each of ${ask.jobs.length} jobs.`, {
      option: "units",
    });
}
