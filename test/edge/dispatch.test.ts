import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { FlowIds } from "@quayside/core";
import { edgeQueue } from "@quayside/edge";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ANSWERS, asked, encryption, faults, jobs, releases, seen, TARGETS } from "./dispatch-queue.ts";
import { ended } from "./work-queue.ts";

beforeEach(() => {
  seen.length = 0;
  faults.length = 0;
  asked.length = 0;
});
afterEach(reset);

let opened = 0;
function open() {
  const name = `dispatch-${opened++}`;
  const queue = edgeQueue<typeof jobs>(env.DISPATCH_QUEUE, name, { jobs });
  const act = (how: string, options = {}) => queue.addJob("act", { how }, options);
  return { name, queue, object: env.DISPATCH_QUEUE.getByName(name), act };
}
/** All that an error says, its causes included. */
const inspected = (error: unknown): string =>
  error instanceof Error
    ? JSON.stringify([
        ...Object.getOwnPropertyNames(error).map((key) => [key, String(Reflect.get(error, key))]),
        JSON.stringify(error),
        inspected(error.cause),
      ])
    : String(JSON.stringify(error));
const tells = (what: string) => vi.waitFor(() => expect(seen).toContain(what), { timeout: 5_000 });

describe("a job that is dispatched to a consumer", () => {
  it("runs there, checked by its schemas, and its result is kept by the object", async () => {
    const { queue } = open();
    expect(await ended(queue, await queue.addJob("add", { a: 2 }))).toMatchObject({
      state: "completed",
      attempts: 1,
      result: { sum: 3 },
    });
    expect(seen).toContain("after add");
  });

  it("runs by its definition's own handler where it has one", async () => {
    const { queue } = open();
    expect(await ended(queue, await queue.addJob("defined", { word: "quay" }))).toMatchObject({ result: "QUAY" });
  });

  it("runs in the object where the object has a handler for it", async () => {
    const { queue } = open();
    expect(await ended(queue, await queue.addJob("here", { n: 7 }))).toMatchObject({ result: { here: 7 } });
    expect(seen).toEqual([]);
  });

  it("is tried again when its handler throws, by its backoff", async () => {
    const { queue, act } = open();
    const job = await ended(queue, await act("retry"));
    expect(job).toMatchObject({ state: "completed", attempts: 3, result: 3, error: { name: "RangeError" } });
    expect(job.error?.message).toBe("failure 2");
  });

  for (const how of ["revoked", "unreadable", "odd-header", "odd-delay"]) {
    it(`R28: counts what its handler throws that cannot be read or sent (${how}), and is tried again`, async () => {
      const { queue, act } = open();
      const job = await ended(queue, await act(how));
      expect(job).toMatchObject({ state: "failed", attempts: 3 });
      // How the attempt ended, and not that the call to the consumer broke.
      expect(job.error?.message).not.toContain("ended without an answer");
    });
  }

  it("R29: fails for good by a result, and by a report of progress, that is larger than may be stored", async () => {
    const { queue, act } = open();
    for (const how of ["large-result", "large-progress"])
      expect(await ended(queue, await act(how))).toMatchObject({
        state: "failed",
        attempts: 1,
        error: { code: "result_too_large" },
      });
  });

  it("R29: keeps lines of log that are no text, or too long, as text that fits", async () => {
    const { queue, act } = open();
    const { state, logs } = await ended(queue, await act("odd-lines"));
    expect(state).toBe("completed");
    expect(logs).toHaveLength(3);
    expect(logs[2]?.endsWith("… (cut)")).toBe(true);
  });

  it("fails for good by an UnrecoverableError and by ctx.fail, whatever attempts are left", async () => {
    const { queue, act } = open();
    expect(await ended(queue, await act("unrecoverable"))).toMatchObject({
      state: "failed",
      attempts: 1,
      error: { code: "unrecoverable", name: "UnrecoverableError", message: "never" },
    });
    expect(await ended(queue, await act("fail"))).toMatchObject({
      state: "failed",
      attempts: 1,
      error: { code: "unrecoverable", message: "enough" },
    });
  });

  it("waits as long as a RetryAfterError says", async () => {
    const { queue, act } = open();
    const id = await act("retry-after");
    await vi.waitFor(async () => expect((await queue.get(id))?.state).toBe("delayed"));
    const job = await queue.get(id);
    expect(job).toMatchObject({ attempts: 1, error: { code: "retry_after", message: "busy" } });
    expect((job?.availableAt ?? 0) - Date.now()).toBeGreaterThan(3_500_000);
  });

  it("waits as long as the response says that its error carries", async () => {
    const { queue, act } = open();
    // Its own backoff would be an hour: it is the response's word that counts.
    const id = await act("http", { backoff: "1h" });
    expect(await ended(queue, id)).toMatchObject({ state: "completed", attempts: 2, error: { name: "Throttled" } });
  });

  it("ends as ctx.fail and ctx.release say, although its handler catches their errors", async () => {
    const { queue, act } = open();
    expect(await ended(queue, await act("caught-fail"))).toMatchObject({
      state: "failed",
      attempts: 1,
      error: { message: "caught" },
    });
    expect(await ended(queue, await act("caught-release"))).toMatchObject({ state: "completed", result: [1, true] });
  });

  it("is given back by ctx.release, which counts no attempt", async () => {
    const { queue, act } = open();
    expect(await ended(queue, await act("release"))).toMatchObject({ state: "completed", attempts: 1, result: 1 });
  });

  it("keeps what was thrown when it was no error, and refuses a result that is not JSON", async () => {
    const { queue, act } = open();
    expect(await ended(queue, await act("string"))).toMatchObject({ error: { message: "a bare string" } });
    expect(await ended(queue, await act("function"))).toMatchObject({
      state: "failed",
      attempts: 1,
      error: { code: "invalid_result" },
    });
    expect(await ended(queue, await act("date"))).toMatchObject({ result: { at: "1970-01-01T00:00:00.000Z" } });
  });

  it("asks its definition in the object whether and when to try again, by what travelled of the error", async () => {
    const { queue } = open();
    expect(await ended(queue, await queue.addJob("choosy", null))).toMatchObject({
      state: "failed",
      attempts: 3,
      error: { name: "NotFound", message: "gone" },
    });
  });

  it("fails for good where its payload does not fit the schema any more", async () => {
    const { name, queue } = open();
    const id = await edgeQueue(env.DISPATCH_QUEUE, name).addJob("add", { a: "two" });
    expect(await ended(queue, id)).toMatchObject({ state: "failed", attempts: 1, error: { code: "invalid_payload" } });
  });

  it("R36: tells the object, which has no key, nothing of an encrypted job in the clear", async () => {
    const { name, queue } = open();
    const vault = edgeQueue<typeof jobs>(env.DISPATCH_QUEUE, name, { jobs, encryption });
    const card = "4111 1111";
    for (const fails of [undefined, "plainly", "typed"] as const) {
      const id = await vault.addJob("secret", { card, ...(fails && { fails }) }, { encrypted: true });
      const stored = await ended(queue, id);
      expect(stored).toMatchObject({ state: fails ? "failed" : "completed", sealed: true, attempts: fails ? 2 : 1 });
      expect(JSON.stringify(stored)).not.toContain(card);
      const read = {
        logs: [card],
        progress: { card },
        ...(fails ? { error: { message: card } } : { result: { card } }),
      };
      expect(await vault.get(id)).toMatchObject(fails ? { ...read, logs: [card, card] } : read);
    }
    expect(asked.length).toBeGreaterThan(0);
    for (const error of asked) expect(inspected(error)).not.toContain(card);
  });

  it("tells of its progress and logs while it runs, and of what it says last", async () => {
    const { queue, act } = open();
    const job = await ended(queue, await act("tell"));
    expect(job).toMatchObject({
      state: "completed",
      progress: { step: 2 },
      logs: ["first", "second", "third", "last"],
    });
    expect(await env.SMOKE.getByName("told").notes()).toEqual(["yes"]);
  });

  it("keeps the last 100 of many lines", async () => {
    const { queue, act } = open();
    const { logs } = await ended(queue, await act("talk"));
    expect(logs).toHaveLength(100);
    expect(logs.at(-1)).toBe("line 499");
  });

  it("refuses progress that is not JSON where it is told", async () => {
    const { queue, act } = open();
    expect(await ended(queue, await act("bad-progress"))).toMatchObject({
      error: { code: "invalid_option", message: "progress.not is NaN, which JSON cannot hold." },
    });
  });

  it("adds jobs in the object by ctx.enqueue and ctx.publish, and is told what was wrong with one", async () => {
    const { queue, act } = open();
    const { result } = await ended(queue, await act("children"));
    const [first, second] = result as [string, string];
    expect(await ended(queue, first)).toMatchObject({ result: { here: 1 }, tags: ["child"] });
    expect(await ended(queue, second)).toMatchObject({ result: { here: 2 } });
    expect(await ended(queue, await act("bad-child"))).toMatchObject({ error: { code: "invalid_payload" } });
  });

  it("adds a flow in the object by ctx.addFlow, and is told what was wrong with one", async () => {
    const { queue, act } = open();
    const { result } = await ended(queue, await act("flow"));
    const { id, children } = result as unknown as FlowIds;
    expect(await ended(queue, id)).toMatchObject({ result: { here: 3 }, hasChildren: true });
    for (const [index, child] of children.entries())
      expect(await ended(queue, child.id)).toMatchObject({ result: { here: index + 1 }, tags: ["child"] });
    expect(await ended(queue, await act("bad-flow"))).toMatchObject({
      error: { code: "invalid_option", message: expect.stringContaining("must not be among its own children") },
    });
  });

  it("R31: gets the outcomes of all its children, also where they are more than one call carries", async () => {
    const { queue } = open();
    const child = { name: "act", payload: { how: "large" } } as const;
    const children = Array.from({ length: 320 }, () => child);
    const { id } = await queue.addFlow({ name: "act", payload: { how: "family" }, children });
    // 37 MiB: a call over RPC takes 32.
    const family = { children: 320, characters: 320 * 120_002 };
    expect(await queue.waitFor(id, { timeout: "60s" })).toEqual(family);
    // And 9,000 of few bytes each, which one call carries.
    const many = Array.from({ length: 9_000 }, () => ({ name: "here", payload: { n: 1 } }) as const);
    const crowd = await queue.addFlow({ name: "act", payload: { how: "family" }, children: many });
    expect(await queue.waitFor(crowd.id, { timeout: "60s" })).toEqual({ children: 9_000, characters: 9_000 * 10 });
    expect(await queue.get(crowd.id)).toMatchObject({ state: "completed", attempts: 1 });
  }, 120_000);

  it("learns of its timeout by ctx.signal, and fails by it", async () => {
    const { queue, act } = open();
    const id = await act("wait", { timeout: 100, maxAttempts: 1 });
    expect(await ended(queue, id)).toMatchObject({ state: "failed", error: { code: "timeout" } });
    expect(seen).toEqual(["waiting", "aborted: timeout"]);
  });

  it("learns of its cancellation by ctx.signal", async () => {
    const { queue, act } = open();
    const id = await act("wait");
    await tells("waiting");
    await queue.cancel(id);
    expect(await ended(queue, id)).toMatchObject({ state: "cancelled" });
    await tells("aborted: cancelled");
  });

  it("is interrupted when its object dies, and runs again", async () => {
    const { queue, object, act } = open();
    const id = await act("wait");
    await tells("waiting");
    await runInDurableObject(object, (_, state) => state.abort("crash")).catch(() => {});
    await tells("aborted: lease_lost");
    await vi.waitFor(async () => expect(await queue.get(id)).toMatchObject({ state: "active", interruptions: 1 }), {
      timeout: 10_000,
    });
    await queue.cancel(id);
    await ended(queue, id);
  });
});

describe("a consumer", () => {
  it("that ends without an answer, or cannot begin, costs the job an attempt and says why", async () => {
    const { queue } = open();
    expect(await ended(queue, await queue.addJob("mortal", null))).toMatchObject({
      state: "failed",
      attempts: 2,
      error: { code: "network", message: 'The consumer of job "mortal" ended without an answer: not as a reply' },
    });
    expect(await ended(queue, await queue.addJob("stillborn", null))).toMatchObject({
      state: "failed",
      attempts: 2,
      error: { code: "network", message: 'The consumer of job "stillborn" ended without an answer: no birth' },
    });
  });

  it("that is missing is said to be", async () => {
    const { queue } = open();
    expect(await ended(queue, await queue.addJob("orphan", null))).toMatchObject({
      state: "failed",
      error: {
        code: "invalid_option",
        message: 'dispatch names no consumer for job "orphan": is the binding missing?',
      },
    });
  });

  it.each(Object.keys(ANSWERS))(
    "that answers what no consumer answers (%s) costs the job an attempt",
    async (answer) => {
      const { queue } = open();
      const job = await ended(queue, await queue.addJob("odd", answer));
      expect(job).toMatchObject({ state: "failed", attempts: 2, error: { code: "network" } });
      expect(job.error?.message).toMatch(/^The consumer of job "odd" answered .+ Export a class made by jobConsumer/);
      expect(job.result).toBeUndefined();
    },
  );

  it("R40: that gives a job back without a delay, again and again, gets it after a pause", async () => {
    const { queue } = open();
    releases.length = 0;
    const id = await queue.addJob("odd", "a release without a delay");
    await vi.waitFor(async () => expect(await queue.get(id)).toMatchObject({ state: "delayed", attempts: 0 }), {
      timeout: 5_000,
    });
    expect(releases).toHaveLength(11);
    await queue.cancel(id);
  });

  it.each(Object.keys(TARGETS))("is a binding or a webhook: %s is refused by name", async (target) => {
    const { queue } = open();
    const job = await ended(queue, await queue.addJob("misled", target));
    expect(job).toMatchObject({ state: "failed", attempts: 2, error: { code: "invalid_option" } });
    expect(job.error?.message).toMatch(/^dispatch must answer with a binding to a jobConsumer, or a webhook/);
  });

  it("R17: that does not know a job's name gives it back, uncounted, and that is reported once", async () => {
    const { queue } = open();
    const [first, second] = await queue.addJobs([
      { name: "not-yet", payload: null },
      { name: "not-yet", payload: null },
    ]);
    for (const id of [first, second] as [string, string]) {
      await vi.waitFor(async () => expect(await queue.get(id)).toMatchObject({ state: "delayed", attempts: 0 }));
    }
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatchObject({ code: "unknown_job", details: { job: "not-yet" } });
  });
});
