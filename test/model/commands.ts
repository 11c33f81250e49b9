import type { RateLimit } from "@quayside/core";
import type { Command, NewJob } from "@quayside/core/engine";
import fc from "fast-check";

/** One step of a random sequence. Numbers called `pick` choose among what is there when the step comes. */
export type Step =
  | { readonly do: "enqueue"; readonly driver: number; readonly jobs: readonly NewJob[] }
  | {
      readonly do: "exchange";
      readonly worker: number;
      readonly limit: number;
      /** Of the limit, the last so many are for later. */
      readonly prefetch?: number;
      readonly queues: readonly {
        readonly queue: string;
        readonly limit?: number;
        readonly names?: readonly string[];
      }[];
      /** What becomes of each job held, in turn. */
      readonly fates: readonly Fate[];
      readonly repeat: boolean;
    }
  | { readonly do: "vanish"; readonly worker: number }
  | { readonly do: "zombie"; readonly pick: number; readonly fates: readonly Fate[]; readonly limit: number }
  | {
      readonly do: "job";
      readonly driver: number;
      readonly pick: number;
      readonly verb: "cancel" | "retry" | "promote" | "remove";
    }
  | {
      readonly do: "update";
      readonly driver: number;
      readonly pick: number;
      readonly payload?: string;
      readonly priority?: number;
      readonly delayMs?: number;
    }
  | { readonly do: "queue"; readonly driver: number; readonly command: QueueCommand }
  | { readonly do: "advance"; readonly ms: number }
  | { readonly do: "jump"; readonly ms: number };

export type QueueCommand = Extract<
  Command,
  { type: "pause" | "resume" | "configure" | "clear" | "retryAll" | "schedule" | "unschedule" }
>;
export type Fate =
  | "run on"
  | "complete"
  | "fail"
  | "retry"
  | "retry later"
  | "time out"
  | "release"
  | "release later"
  | "stop"
  | "forget";

export const QUEUES = ["a", "b"] as const;
export const DRIVERS = 3;
const NAMES = ["x", "y", "z"] as const;

const often = <T>(value: T, rest: fc.Arbitrary<T>, weight = 3): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: rest });
const maybe = <T>(arbitrary: fc.Arbitrary<T>, weight = 3): fc.Arbitrary<T | undefined> =>
  often<T | undefined>(undefined, arbitrary, weight);

const payload = fc.nat(99).map(String);
const queue = often<string>("a", fc.constant("b"));
const driver = fc.nat(DRIVERS - 1);

const dedupe = fc.oneof(
  fc.record({
    key: fc.constantFrom("k", "l"),
    mode: fc.constantFrom("drop", "replace", "replace", "debounce" as const),
  }),
  fc.record({
    key: fc.constantFrom("k", "l"),
    mode: fc.constantFrom("throttle", "drop", "replace" as const),
    ttlMs: fc.constantFrom(500, 5_000),
  }),
  fc.record({ key: fc.constantFrom("k", "l"), mode: fc.constant("debounce" as const), maxWaitMs: fc.constant(2_500) }),
);
const group = fc.oneof(
  fc.record({ key: fc.constantFrom("g", "h") }),
  fc.record({ key: fc.constantFrom("g", "h"), limit: fc.constantFrom(1, 2, 3) }),
);

/** Options that are absent stay absent. */
function some<T extends object>(options: T): { [K in keyof T]: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

const options = fc
  .record({
    queue,
    name: fc.constantFrom(...NAMES),
    payload,
    priority: maybe(fc.constantFrom(-1, 1, 2)),
    delayMs: maybe(fc.constantFrom(1, 700, 2_000), 4),
    id: maybe(fc.constantFrom("one", "two"), 8),
    group: maybe(group, 1),
    keep: maybe(fc.constant({ completed: 0, failed: 0 }), 8),
    expiresInMs: maybe(fc.constantFrom(300, 3_000), 8),
    maxAttempts: maybe(fc.constantFrom(1, 2)),
    maxExceptions: maybe(fc.constant(1), 9),
  })
  .map((job) => some(job) as NewJob);

const single: fc.Arbitrary<readonly NewJob[]> = fc
  .tuple(options, maybe(dedupe, 2))
  .map(([job, key]) => [key ? { ...job, dedupe: key as NonNullable<NewJob["dedupe"]> } : job]);
const several = fc.array(single, { minLength: 1, maxLength: 3 }).map((jobs) => jobs.flat());

/** A tree: each job is the child of the one before it at `under`, parents first. */
const flow: fc.Arbitrary<readonly NewJob[]> = fc
  .array(
    fc.tuple(options, fc.nat(2), fc.constantFrom("fail", "ignore" as const), maybe(fc.constantFrom("k", "l"), 5)),
    {
      minLength: 2,
      maxLength: 4,
    },
  )
  .map((jobs) =>
    jobs.map(([job, under, onFailure, key], index) => ({
      ...job,
      ...(key && { dedupe: { key, mode: "drop" as const } }),
      flow: { ref: `r${index}`, ...(index > 0 && { parentRef: `r${Math.min(under, index - 1)}`, onFailure }) },
    })),
  );

const fates = fc.array(
  fc.constantFrom<Fate>(
    "complete",
    "complete",
    "complete",
    "run on",
    "run on",
    "fail",
    "retry",
    "retry later",
    "time out",
    "release",
    "release later",
    "stop",
    "forget",
  ),
  { minLength: 1, maxLength: 3 },
);

const claimQueues = fc
  .tuple(
    fc.constantFrom(["a"], ["a", "b"], ["b", "a"], ["b"]),
    maybe(fc.constantFrom(1, 2)),
    maybe(fc.constantFrom(["x"], ["x", "y"], ["z"]), 2),
  )
  .map(([queues, limit, names]) => queues.map((name) => ({ queue: name, ...some({ limit, names }) })));

const rateLimit: fc.Arbitrary<RateLimit | null> = fc.constantFrom(
  null,
  { max: 1, perMs: 1_000 },
  { max: 3, perMs: 600 },
);
const filter = fc.record({ name: maybe(fc.constantFrom(...NAMES), 1) }).map((one) => some(one) as { name?: string });

const queueCommand: fc.Arbitrary<QueueCommand> = fc.oneof(
  fc.tuple(fc.constantFrom("pause", "resume", "resume" as const), queue).map(([type, name]) => ({ type, queue: name })),
  fc
    .tuple(
      queue,
      maybe(rateLimit, 1),
      maybe(fc.constantFrom(null, 1, 2), 1),
      maybe(fc.constantFrom({ completed: 0 }, { completed: 2, failed: 1 }, { cancelled: 0 }), 1),
    )
    .map(
      ([name, rate, maxActive, keep]) =>
        ({ type: "configure" as const, queue: name, ...some({ rateLimit: rate, maxActive, keep }) }) as QueueCommand,
    ),
  fc
    .tuple(queue, filter, maybe(fc.constantFrom("waiting", "delayed", "active", "failed" as const), 1))
    .map(([name, one, state]) => ({ type: "clear" as const, queue: name, ...one, ...(state && { state }) })),
  fc
    .tuple(queue, filter, fc.constantFrom("failed", "cancelled" as const))
    .map(([name, one, state]) => ({ type: "retryAll" as const, queue: name, ...one, state })),
  fc
    .tuple(
      queue,
      fc.constantFrom("s", "t"),
      fc.constantFrom(700, 1_500),
      maybe(fc.constantFrom(1, 3)),
      options,
      fc.boolean(),
    )
    .map(([name, key, everyMs, limit, job, plain]) => ({
      type: "schedule" as const,
      queue: name,
      key,
      rule: { kind: "every" as const, everyMs, ...some({ limit }) },
      job: plain
        ? { queue: name, name: "x", payload: "0" }
        : (some({ ...job, queue: name, id: undefined, delayMs: undefined }) as NewJob),
    })),
  fc.tuple(queue, fc.constantFrom("s", "t")).map(([name, key]) => ({ type: "unschedule" as const, queue: name, key })),
);

const pick = fc.nat(20);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(driver, fc.oneof({ weight: 3, arbitrary: several }, { weight: 1, arbitrary: flow }))
      .map(([by, jobs]) => ({ do: "enqueue" as const, driver: by, jobs })),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant("exchange" as const),
      worker: fc.nat(2),
      limit: fc.constantFrom(0, 1, 2, 5),
      prefetch: often(0, fc.constantFrom(1, 2, 4), 4),
      queues: claimQueues,
      fates,
      repeat: often(false, fc.constant(true), 6),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("vanish" as const), worker: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("zombie" as const), pick, fates, limit: fc.nat(1) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("job" as const),
      driver,
      pick,
      verb: fc.constantFrom("cancel", "retry", "retry", "promote", "remove" as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        driver,
        pick,
        payload: maybe(payload, 1),
        priority: maybe(fc.constantFrom(-1, 0, 2), 1),
        delayMs: maybe(fc.constantFrom(0, 400), 1),
      })
      .map((one) => ({ do: "update" as const, ...some(one) })),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("queue" as const), driver, command: queueCommand }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("advance" as const),
      ms: fc.constantFrom(1, 250, 700, 1_500, 5_001, 10_001),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("jump" as const), ms: fc.constantFrom(-40_009, -3_001, 3_011, 60_013) }),
  },
);

export const LONGEST = 25;
export const sequences: fc.Arbitrary<readonly Step[]> = fc.array(step, {
  minLength: 1,
  maxLength: LONGEST,
  size: "max",
});
