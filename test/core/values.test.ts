import { type Duration, defineJobs, type JobOptions, memoryDriver, QuaysideError, Queue, toMs } from "@quayside/core";
import { EVERY_OPTION, resolveOptions, toJsonText } from "@quayside/core/engine";
import { createManualClock, seededRandom } from "@quayside/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";

const refusal = (act: () => unknown): QuaysideError => {
  try {
    act();
  } catch (error) {
    if (error instanceof QuaysideError) return error;
  }
  throw new Error("It was not refused.");
};

describe("durations", () => {
  it.each<[Duration, number]>([
    [250, 250],
    ["250ms", 250],
    ["10s", 10_000],
    ["1.5m", 90_000],
    ["2 h", 7_200_000],
    ["7d", 604_800_000],
    ["1w", 604_800_000],
    [0, 0],
  ])("%s is %d ms", (duration, ms) => expect(toMs(duration, "delay")).toBe(ms));

  it.each([
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    "5",
    "5 minutes",
    "-5s",
    "",
    "1e3s",
    Date.now() * 1_000,
    null,
    {},
  ])("%s is refused, naming the option", (duration) => {
    expect(refusal(() => toMs(duration as Duration, "delay"))).toMatchObject({
      code: "invalid_option",
      details: { option: "delay" },
    });
  });
});

describe("options", () => {
  const resolve = (...layers: JobOptions[]) => resolveOptions(layers, 1_000, EVERY_OPTION);

  it("the nearest word wins, and undefined is absent", () => {
    expect(resolve({ priority: 1, maxAttempts: 9 }, { priority: 2 }, { priority: undefined, delay: "1s" })).toEqual({
      priority: 2,
      maxAttempts: 9,
      delayMs: 1_000,
    });
  });

  it("an instant becomes a delay from now; a past one none; a nearer delay overrules it", () => {
    expect(resolve({ availableAt: 61_000 })).toEqual({ delayMs: 60_000 });
    expect(resolve({ availableAt: new Date(0) })).toEqual({});
    expect(resolve({ availableAt: 61_000 }, { delay: 5 })).toEqual({ delayMs: 5 });
  });

  it.each<[string, object]>([
    ["priority", { priority: 101 }],
    ["priority", { priority: 0.5 }],
    ["maxAttempts", { maxAttempts: 0 }],
    ["backoff", { backoff: [] }],
    ["backoff[1]", { backoff: [1, "x"] }],
    ["backoff", { backoff: { kind: "cubic", delay: 1 } }],
    ["backoff.jitter", { backoff: { kind: "fixed", delay: 1, jitter: 2 } }],
    ["timeout", { timeout: 0 }],
    ["dedupe.key", { dedupe: { key: "" } }],
    ["dedupe.mode", { dedupe: { key: "a", mode: "sometimes" } }],
    ["dedupe.ttl", { dedupe: { key: "a", mode: "throttle" } }],
    ["tags[1]", { tags: ["a", "\ud800"] }],
    ["keep.completed", { keep: { completed: -1 } }],
    ["keep.waiting", { keep: { waiting: 1 } }],
    ["id", { id: "" }],
    ["id", { id: "x".repeat(257) }],
    ["availableAt", { availableAt: Number.NaN }],
    ["requires", { requires: "wifi" }],
    ["atempts", { atempts: 3 }],
  ])("%s is named when it is wrong: %j", (option, options) => {
    expect(refusal(() => resolve(options))).toMatchObject({ code: "invalid_option", details: { option } });
  });

  it.each([129, 257, 100_000])("a tag of %i characters is refused by the limit of tags", (length) => {
    const { message } = refusal(() => resolve({ tags: ["short", "x".repeat(length)] }));
    expect(message).toMatch(/^tags\[1\] must be a string of 1 to 128 characters of well-formed Unicode/);
    const many = refusal(() => resolve({ tags: Array.from({ length: 33 }, (_, n) => `${n}`) }));
    expect(many.message).toContain("tags must be a list of at most 32 texts");
  });
});

describe("JSON at the door", () => {
  it("keeps every JSON value exactly", () => {
    const property = fc.property(fc.jsonValue(), (value) => {
      expect(toJsonText(value, "payload")).toBe(JSON.stringify(value));
    });
    fc.assert(property);
  });

  it("takes dates by their toJSON, leaves out undefined members, stores undefined as null", () => {
    expect(toJsonText({ at: new Date(0), none: undefined }, "payload")).toBe('{"at":"1970-01-01T00:00:00.000Z"}');
    expect(toJsonText(undefined, "payload")).toBe("null");
  });

  it("refuses what is nested deeper than 100 levels, however deep, and says so", () => {
    const nested = (levels: number): unknown =>
      Array.from({ length: levels - 1 }).reduce<unknown>((inner, _, index) => (index % 2 ? [inner] : { inner }), []);
    expect(toJsonText(nested(100), "payload")).toContain("[]");
    for (const levels of [101, 1_000, 200_000]) {
      const { code, message } = refusal(() => toJsonText(nested(levels), "payload"));
      expect(code).toBe("invalid_payload");
      expect(message).toMatch(/^payload[.[].* is nested more than 100 levels deep\.$/);
      expect(message.length).toBeLessThan(300);
    }
  });

  const loop: { self?: unknown } = {};
  loop.self = loop;
  it.each<[string, unknown]>([
    ["payload", () => {}],
    ["payload", 1n],
    ["payload.a", { a: Symbol("x") }],
    ["payload.a[1].b", { a: [0, { b: Number.NaN }] }],
    ["payload[0]", [undefined]],
    ["payload.map", { map: new Map([[1, 2]]) }],
    ["payload.bytes", { bytes: new Uint8Array(3) }],
    ["payload.self", loop],
  ])("names %s when JSON would lose it", (path, value) => {
    expect(refusal(() => toJsonText(value, "payload"))).toMatchObject({
      code: "invalid_payload",
      details: { issues: [{ path: path.replace(/^payload\.?/, "") }] },
    });
  });
});

describe("a schema", () => {
  const jobs = defineJobs({
    email: { input: z.object({ to: z.email(), lines: z.array(z.string().min(1)) }), maxAttempts: 7 },
  });

  it("refuses a payload when it is added, naming each field, and nothing is stored", async () => {
    const queue = new Queue("mail", memoryDriver(), { jobs });
    await expect(queue.addJob("email", { to: "nobody", lines: ["a", ""] })).rejects.toMatchObject({
      code: "invalid_payload",
      details: { job: "email", issues: [{ path: "to" }, { path: "lines[1]" }] },
    });
    expect(await queue.size()).toBe(0);
  });

  it("gives its definition's options to the job, and the handler its output", async () => {
    const coerced = defineJobs({ sum: { input: z.object({ n: z.coerce.number() }), maxAttempts: 7 } });
    const queue = new Queue("sums", memoryDriver(), { jobs: coerced });
    const got: unknown[] = [];
    queue.on("job:sum", ({ n }) => got.push(n));
    const id = await queue.addJob("sum", { n: "42" });
    await queue.drain();
    expect(got).toEqual([42]);
    expect(await queue.get(id)).toMatchObject({ maxAttempts: 7, payload: { n: "42" } });
  });

  it("that changed since the add fails the job for good, without running it", async () => {
    const driver = memoryDriver();
    const before = new Queue<{ email: unknown }>("mail", driver);
    const id = await before.addJob("email", { to: 5 });
    const queue = new Queue("mail", driver, { jobs });
    const ran: unknown[] = [];
    queue.on("job:email", (payload) => ran.push(payload));
    await queue.drain();
    expect(ran).toEqual([]);
    expect(await queue.get(id)).toMatchObject({ state: "failed", attempts: 1, error: { code: "invalid_payload" } });
  });

  it("job names that the map lacks are refused, when adding and when handling", async () => {
    const queue = new Queue("mail", memoryDriver(), { jobs });
    const add = queue.addJob as (name: string, payload: unknown) => Promise<string>;
    await expect(add.call(queue, "emial", {})).rejects.toMatchObject({ code: "unknown_job" });
    const on = queue.on as unknown as (event: string, handler: () => void) => void;
    expect(refusal(() => on.call(queue, "job:emial", () => {})).code).toBe("unknown_job");
  });
});

describe("determinism", () => {
  it("the same seed and clock give the same ids and delays", async () => {
    const run = async () => {
      const clock = createManualClock();
      const driver = memoryDriver({ clock, random: seededRandom(7) });
      const queue = new Queue<{ email: null }>("mail", driver, { clock, random: seededRandom(8) });
      queue.on("job:email", () => {
        throw new Error("no");
      });
      const id = await queue.addJob("email", null);
      await queue.drain();
      return queue.get(id);
    };
    const [first, second] = [await run(), await run()];
    expect({ ...first, error: null }).toEqual({ ...second, error: null });
  });
});

describe("a listener of changes", () => {
  it("that throws harms neither the call that made the change nor the other listeners", async () => {
    const driver = memoryDriver();
    const heard: string[] = [];
    driver.watch(() => {
      throw new Error("listener");
    });
    driver.watch(({ kind }) => heard.push(kind));
    const queue = new Queue<{ email: null }>("mail", driver);
    expect(await queue.get(await queue.addJob("email", null))).toMatchObject({ state: "waiting" });
    expect(heard).toEqual(["ready"]);
  });
});
