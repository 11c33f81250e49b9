import {
  DEFAULTS,
  type JobOptions,
  memoryDriver,
  QuaysideError,
  Queue,
  type RecurrenceOption,
  RetryAfterError,
  toMs,
} from "@quayside/core";
import {
  EVERY_OPTION,
  nextOccurrence,
  type RecurrenceRule,
  resolveOptions,
  resolveRecurrence,
  toJsonText,
} from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";

const refusal = (act: () => unknown): QuaysideError => {
  try {
    act();
  } catch (error) {
    if (error instanceof QuaysideError) return error;
  }
  throw new Error("It was not refused.");
};
const DAY_MS = 86_400_000;
const resolve = (options: JobOptions) => resolveOptions([options], 1_000, EVERY_OPTION);

describe("the least and the most of each option", () => {
  it.each<[string, unknown, unknown]>([
    ["priority", -100, -101],
    ["priority", 100, 101],
    ["maxAttempts", 1, 0],
    ["maxAttempts", 1_000_000, 1_000_001],
    ["maxExceptions", 1, 0],
    ["maxInterruptions", 1, 0],
    ["timeout", 1, 0],
    ["expiresIn", 1, 0],
    ["id", "x".repeat(256), "x".repeat(257)],
    ["delay", 100 * 365 * DAY_MS, 100 * 365 * DAY_MS + 1],
  ])("%s: %s is taken, %s refused", (option, good, bad) => {
    expect(() => resolve({ [option]: good })).not.toThrow();
    expect(refusal(() => resolve({ [option]: bad })).details.option).toBe(option);
  });

  it.each<[string, JobOptions]>([
    ["group.limit", { group: { key: "g", limit: 0 } }],
    ["group.limit", { group: { key: "g", limit: 10_001 } }],
    ["group.key", { group: { key: "" } }],
    ["dedupe.maxWait", { dedupe: { key: "k", mode: "replace", maxWait: 5 } as never }],
    ["dedupe.wait", { dedupe: { key: "k", mode: "debounce" } as never }],
    ["dedupe.wait", { dedupe: { key: "k", mode: "drop", wait: 5 } as never }],
    ["dedupe.wait", { dedupe: { key: "k", mode: "debounce", wait: "soon" as never } }],
    ["dedupe.maxWait", { dedupe: { key: "k", mode: "debounce", wait: 1, maxWait: 0 } }],
    ["dedupe.ttl", { dedupe: { key: "k", ttl: 0 } }],
    ["keep.failed", { keep: { failed: 1_000_001 } }],
    ["backoff.factor", { backoff: { kind: "exponential", delay: 1, factor: 0.9 } }],
    ["backoff.factor", { backoff: { kind: "exponential", delay: 1, factor: 101 } }],
    ["backoff.jitter", { backoff: { kind: "fixed", delay: 1, jitter: -0.1 } }],
  ])("%s is named when it is beyond", (option, options) => {
    expect(refusal(() => resolve(options)).details.option).toBe(option);
  });

  it("what dedupe and group say is kept", () => {
    expect(resolve({ dedupe: { key: "k", mode: "debounce", wait: 0, maxWait: "1s", ttl: "2s" } }).dedupe).toEqual({
      key: "k",
      mode: "debounce",
      maxWaitMs: 1_000,
      ttlMs: 2_000,
    });
    expect(resolve({ dedupe: { key: "k" } }).dedupe).toEqual({ key: "k", mode: "drop" });
    // The wait of a debounced job is its delay, whichever option comes first.
    const debounced = { key: "k", mode: "debounce", wait: "2s" } as const;
    expect(resolve({ dedupe: debounced, delay: "1m" }).delayMs).toBe(2_000);
    expect(resolve({ availableAt: 1, dedupe: debounced }).delayMs).toBe(2_000);
    expect(resolve({ group: { key: "g", limit: 10_000 } }).group).toEqual({ key: "g", limit: 10_000 });
    expect(resolve({ group: { key: "g" } }).group).toEqual({ key: "g" });
  });

  it("durations are rounded to whole milliseconds", () => {
    expect(toMs("1.0004s", "delay")).toBe(1_000);
    expect(toMs(0.6, "delay")).toBe(1);
  });
});

describe("backoff", () => {
  it("is resolved to a whole rule", () => {
    expect(resolve({ backoff: 500 }).backoff).toEqual({ kind: "fixed", delayMs: 500, maxMs: 3_600_000, jitter: 0 });
    expect(resolve({ backoff: "2s" }).backoff).toEqual({ kind: "fixed", delayMs: 2_000, maxMs: 3_600_000, jitter: 0 });
    expect(resolve({ backoff: [1, "2s"] }).backoff).toEqual({ kind: "list", delaysMs: [1, 2_000], jitter: 0 });
    expect(resolve({ backoff: { kind: "exponential", delay: 5 } }).backoff).toEqual({
      kind: "exponential",
      delayMs: 5,
      factor: 2,
      maxMs: 3_600_000,
      jitter: 0,
    });
    expect(resolve({ backoff: { kind: "linear", delay: 5, max: 9, jitter: 1 } }).backoff).toEqual({
      kind: "linear",
      delayMs: 5,
      maxMs: 9,
      jitter: 1,
    });
  });

  /** The waits before each further attempt of a job that always fails. */
  async function waits(options: JobOptions, random = 0.5, error: unknown = new Error("no")): Promise<number[]> {
    const clock = createManualClock();
    const driver = memoryDriver({ clock, random: () => random });
    const queue = new Queue<{ work: null }>("q", driver, { clock, random: () => random });
    const found: number[] = [];
    queue.on("job:work", () => {
      throw error;
    });
    const id = await queue.addJob("work", null, options);
    for (let round = 0; round < 20; round++) {
      await queue.drain();
      const job = await queue.get(id);
      if (job?.state !== "delayed" && job?.state !== "waiting") break;
      found.push(job.availableAt - clock.now());
      await clock.advance(Math.max(1, job.availableAt - clock.now()));
    }
    return found;
  }

  it.each<[string, JobOptions, number[]]>([
    ["fixed", { backoff: 100, maxAttempts: 4 }, [100, 100, 100]],
    ["linear", { backoff: { kind: "linear", delay: 100, max: 250 }, maxAttempts: 5 }, [100, 200, 250, 250]],
    ["exponential", { backoff: { kind: "exponential", delay: 100, factor: 3 }, maxAttempts: 4 }, [100, 300, 900]],
    [
      "exponential with a longest",
      { backoff: { kind: "exponential", delay: 100, max: 350 }, maxAttempts: 5 },
      [100, 200, 350, 350],
    ],
    ["a list, whose last repeats", { backoff: [10, 20], maxAttempts: 5 }, [10, 20, 20, 20]],
    ["with half of it random", { backoff: { kind: "fixed", delay: 100, jitter: 0.5 }, maxAttempts: 3 }, [75, 75]],
    ["by default: exponential with full jitter", {}, [500, 1_000]],
  ])("%s", async (_, options, expected) => {
    expect(await waits(options)).toEqual(expected);
  });

  it("an error that says when goes before the rule", async () => {
    expect(await waits({ backoff: 100, maxAttempts: 3 }, 0.5, new RetryAfterError("7s"))).toEqual([7_000, 7_000]);
  });
});

describe("recurrences", () => {
  it("are resolved to a rule, instants as numbers", () => {
    expect(resolveRecurrence({ every: "1m" })).toEqual({ kind: "every", everyMs: 60_000 });
    expect(resolveRecurrence({ every: 100, limit: 1, startAt: new Date(5), endAt: 9 })).toEqual({
      kind: "every",
      everyMs: 100,
      limit: 1,
      startAt: 5,
      endAt: 9,
    });
    expect(resolveRecurrence({ cron: "* * * * *", timeZone: "Europe/Paris", startAt: 0 })).toEqual({
      kind: "cron",
      cron: "* * * * *",
      timeZone: "Europe/Paris",
      startAt: 0,
    });
    expect(resolveRecurrence({ cron: "@daily" })).toEqual({ kind: "cron", cron: "@daily" });
  });

  it.each<[string, object]>([
    ["recurrence", {}],
    ["recurrence", { every: "1m", cron: "* * * * *" }],
    ["every", { every: 99 }],
    ["cron", { cron: " " }],
    ["cron", { cron: 5 }],
    ["limit", { every: 100, limit: 0 }],
    ["startAt", { every: 100, startAt: Number.NaN }],
    ["startAt", { every: 100, startAt: -1 }],
    ["endAt", { every: 100, endAt: new Date(Number.NaN) }],
  ])("%s is named when it is wrong: %j", (option, recurrence) => {
    expect(refusal(() => resolveRecurrence(recurrence as RecurrenceOption)).details.option).toBe(option);
  });

  const every = (rule: object = {}): RecurrenceRule => ({ kind: "every", everyMs: 100, ...rule });
  it.each<[string, RecurrenceRule, number | undefined, number, number, number | undefined]>([
    ["begins one interval from now", every(), undefined, 1_000, 0, 1_100],
    ["or at its start", every({ startAt: 1_050 }), undefined, 1_000, 0, 1_050],
    ["or at the last instant since its start", every({ startAt: 790 }), undefined, 1_000, 0, 990],
    ["now, when that is one", every({ startAt: 800 }), undefined, 1_000, 0, 1_000],
    ["goes on from nominal time", every(), 1_000, 1_099, 1, 1_100],
    ["never at the instant that has come", every(), 1_000, 1_100, 1, 1_200],
    ["past what was missed", every(), 1_000, 1_950, 1, 2_000],
    ["within one interval, in phase, when the clock was set back", every(), 1_000, 10, 1, 100],
    ["and one that was cancelled before it was due is not placed again", every(), 1_000, 950, 1, 1_100],
    ["until its limit", every({ limit: 3 }), 1_000, 1_000, 2, 1_100],
    ["and no further", every({ limit: 3 }), 1_000, 1_000, 3, undefined],
    ["until its end, that included", every({ endAt: 1_100 }), 1_000, 1_000, 1, 1_100],
    ["and not after it", every({ endAt: 1_099 }), 1_000, 1_000, 1, undefined],
    ["and not beyond the last instant that is a date", every(), 8.64e15, 8.64e15, 1, undefined],
  ])("every: %s", (_, rule, last, now, count, expected) => {
    expect(nextOccurrence(rule, last, now, count, undefined)).toBe(expected);
  });

  it("cron: the first instant after the last, after now, and not before its start", () => {
    /** Each full thousand. */
    const thousands = (_: object, after: number) => (Math.floor(after / 1_000) + 1) * 1_000;
    const rule = (bounds: object = {}): RecurrenceRule => ({ kind: "cron", cron: "x", ...bounds });
    expect(nextOccurrence(rule(), undefined, 1_500, 0, thousands)).toBe(2_000);
    expect(nextOccurrence(rule(), 2_000, 1_500, 1, thousands)).toBe(3_000);
    expect(nextOccurrence(rule(), 2_000, 9_500, 1, thousands)).toBe(10_000);
    expect(nextOccurrence(rule({ startAt: 5_000 }), undefined, 1_500, 0, thousands)).toBe(5_000);
    expect(nextOccurrence(rule({ startAt: 5_001 }), undefined, 1_500, 0, thousands)).toBe(6_000);
    expect(nextOccurrence(rule({ endAt: 1_999 }), undefined, 1_500, 0, thousands)).toBeUndefined();
    expect(nextOccurrence(rule(), undefined, 1_500, 0, () => undefined)).toBeUndefined();
    expect(refusal(() => nextOccurrence(rule(), undefined, 0, 0, undefined)).code).toBe("invalid_option");
  });
});

describe("JSON that would lose something", () => {
  it.each<[string, object]>([
    ["a Set", new Set([1])],
    ["a Map", new Map()],
    ["bytes", new Uint8Array(2)],
    ["a view", new DataView(new ArrayBuffer(1))],
    ["a buffer", new ArrayBuffer(1)],
    ["a Blob", new Blob(["x"])],
  ])("%s is refused where it lies", (_, value) => {
    expect(refusal(() => toJsonText({ a: [value] }, "payload")).details).toMatchObject({
      issues: [{ path: "a[0]" }],
    });
  });

  it("is found at any depth, and the same object twice is no loop", () => {
    const deep = (depth: number, leaf: unknown): unknown => (depth === 0 ? leaf : { in: deep(depth - 1, leaf) });
    for (const depth of [1, 7, 8, 9, 10, 30]) {
      expect(toJsonText(deep(depth, 1), "payload")).toBe(JSON.stringify(deep(depth, 1)));
      expect(refusal(() => toJsonText(deep(depth, Number.NaN), "payload")).code).toBe("invalid_payload");
    }
    const shared = { n: 1 };
    expect(toJsonText([shared, { shared }], "payload")).toBe('[{"n":1},{"shared":{"n":1}}]');
  });
});

describe("the defaults", () => {
  it("are what the documentation says", () => {
    expect(DEFAULTS).toMatchObject({
      maxAttempts: 3,
      backoff: { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 3_600_000, jitter: 1 },
      leaseMs: 30_000,
      silenceCapMs: 600_000,
      stopTimeoutMs: 30_000,
      graceMs: 5_000,
      maxInterruptions: 10,
      interruptionBackoff: { kind: "exponential", delayMs: 500, factor: 2, maxMs: 300_000, jitter: 1 },
      markMs: 90 * DAY_MS,
      keep: { completed: 100, failed: 1_000, cancelled: 100 },
      payloadLimitBytes: 131_072,
    });
  });
});

describe("R5: a generated id", () => {
  const LOW = 36 ** 5;
  it.each([0, 1, LOW - 1, LOW, LOW + 1, 2 * LOW - 1, 2 * LOW, 1_763_800_000_000, 4_102_444_800_000])(
    "spells its job's first place in line in base 36, at %d",
    async (now) => {
      const driver = memoryDriver({ clock: createManualClock(now) });
      const jobs = Array.from({ length: 3 }, () => ({ queue: "mail", name: "email", payload: "{}", priority: 7 }));
      for (const { id } of await driver.enqueue(jobs)) {
        const [rank, at, order] = id.split("-").map((digits) => Number.parseInt(digits, 36));
        expect({ rank, at }).toEqual({ rank: 93, at: now });
        expect(id.split("-").slice(1, 3)).toEqual([now.toString(36), (order as number).toString(36)]);
        expect((await driver.get("mail", id))?.id).toBe(id);
      }
      await driver.close();
    },
  );
});
