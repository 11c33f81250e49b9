import { type ErrorCode, type Json, LIMITS } from "@quayside/core";
import * as z from "zod/mini";
import { MEANINGS } from "./codes.ts";
import { state, storedError } from "./request-schemas.ts";

/**
 * Returns the schemas of the API's responses, for `openapi.json`. They check nothing: responses are records of core.
 * Created at the first call, because most Workers never serve the document.
 */
export function answers(): Answers {
  made ??= make();
  return made;
}

export type Answers = ReturnType<typeof make>;
export type AnswerName = keyof Answers;

let made: Answers | undefined;

function make() {
  const count = z.int().check(z.minimum(0));
  const instant = count;
  const json = z.unknown() as unknown as z.ZodMiniType<Json, Json>;

  const backoff = z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.enum(["fixed", "linear"]), delayMs: count, maxMs: count, jitter: z.number() }),
    z.strictObject({
      kind: z.literal("exponential"),
      delayMs: count,
      factor: z.number(),
      maxMs: count,
      jitter: z.number(),
    }),
    z.strictObject({ kind: z.literal("list"), delaysMs: z.array(count), jitter: z.number() }),
  ]);
  const Job = z.strictObject({
    id: z.string(),
    queue: z.string(),
    name: z.string(),
    payload: z.unknown(),
    state,
    priority: z.int(),
    addedAt: instant,
    availableAt: instant,
    expiresAt: z.exactOptional(instant),
    attempts: count,
    maxAttempts: count,
    interruptions: count,
    timeoutMs: z.exactOptional(count),
    backoff: z.exactOptional(backoff),
    dedupe: z.exactOptional(
      z.strictObject({
        key: z.string(),
        mode: z.enum(["drop", "replace", "debounce", "throttle"]),
        ttlMs: z.exactOptional(count),
        maxWaitMs: z.exactOptional(count),
      }),
    ),
    group: z.exactOptional(z.strictObject({ key: z.string(), limit: z.exactOptional(count) })),
    exceptions: count,
    maxExceptions: z.exactOptional(count),
    maxInterruptions: z.exactOptional(count),
    requires: z.exactOptional(z.enum(["network"])),
    trace: z.exactOptional(z.string()),
    sealed: z.exactOptional(z.literal(true)),
    tags: z.array(z.string()),
    logs: z.array(z.string()),
    parent: z.exactOptional(
      z.strictObject({ queue: z.string(), id: z.string(), onFailure: z.enum(["fail", "ignore"]) }),
    ),
    hasChildren: z.exactOptional(z.literal(true)),
    recurrence: z.exactOptional(z.string()),
    scheduledFor: z.exactOptional(instant),
    blockedBy: z.exactOptional(z.string()),
    progress: z.exactOptional(json),
    result: z.exactOptional(json),
    error: z.exactOptional(storedError),
    startedAt: z.exactOptional(instant),
    finishedAt: z.exactOptional(instant),
  });
  const JobPage = z.strictObject({ jobs: z.array(Job), cursor: z.exactOptional(z.string()) });
  const Receipt = z.strictObject({ id: z.string(), deduplicated: z.boolean() });
  const Counts = z.strictObject({
    waiting: count,
    delayed: count,
    active: count,
    completed: count,
    failed: count,
    cancelled: count,
    paused: z.boolean(),
  });
  const CommandReply = z.strictObject({ affected: count, state: z.exactOptional(state) });
  const bounds = {
    limit: z.exactOptional(count),
    startAt: z.exactOptional(instant),
    endAt: z.exactOptional(instant),
    immediately: z.exactOptional(z.literal(true)),
    overlap: z.exactOptional(z.literal("skip")),
  };
  const Schedule = z.strictObject({
    key: z.string().check(z.maxLength(LIMITS.nameLength)),
    queue: z.string(),
    rule: z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("every"), everyMs: count, ...bounds }),
      z.strictObject({ kind: z.literal("cron"), cron: z.string(), timeZone: z.exactOptional(z.string()), ...bounds }),
    ]),
    name: z.string(),
    payload: json,
    sealed: z.exactOptional(z.literal(true)),
    nextAt: z.exactOptional(instant),
    nextId: z.exactOptional(z.string()),
    count,
  });
  const child = z.strictObject({
    queue: z.string(),
    id: z.string(),
    name: z.string(),
    state: z.enum(["completed", "failed", "cancelled"]),
    result: z.exactOptional(json),
    error: z.exactOptional(storedError),
    sealed: z.exactOptional(z.literal(true)),
  });
  const children = z.array(child);
  const moreChildren = z.exactOptional(z.string());
  const ExchangeReply = z.strictObject({
    exchange: count,
    jobs: z.array(z.strictObject({ token: z.string(), job: Job, children: z.exactOptional(children), moreChildren })),
    lost: z.array(z.string()),
    cancel: z.array(z.string()),
    interrupted: z.array(Job),
    unknown: z.array(z.strictObject({ queue: z.string(), name: z.string() })),
    nextWakeMs: z.exactOptional(count),
    futile: z.exactOptional(z.literal(true)),
    alone: z.exactOptional(z.literal(true)),
    memo: z.exactOptional(z.string()),
    late: z.exactOptional(
      z.array(
        z.strictObject({
          place: z.string(),
          kind: z.string(),
          code: z.string(),
          message: z.string(),
          alone: z.exactOptional(z.literal(true)),
        }),
      ),
    ),
  });
  const Problem = z.strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(MEANINGS) as ErrorCode[]),
    detail: z.string(),
    errors: z.exactOptional(z.array(z.strictObject({ path: z.string(), message: z.string() }))),
    details: z.exactOptional(z.record(z.string(), z.unknown())),
  });
  return {
    Receipt,
    Receipts: z.union([Receipt, z.array(Receipt)]),
    Job,
    JobPage,
    FoundJobs: z.strictObject({ jobs: z.array(Job), left: z.exactOptional(z.array(z.string())) }),
    Counts,
    CommandReply,
    Children: z.strictObject({ children, moreChildren }),
    Schedules: z.array(Schedule),
    ExchangeReply,
    NextWake: z.strictObject({ nextWakeMs: z.nullable(count) }),
    Health: z.strictObject({ status: z.literal("ok") }),
    Problem,
  };
}
