import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { queueStub } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { timersOf } from "./queues.ts";
import { ended, open } from "./work-queue.ts";

afterEach(reset);

// A timer keeps an object in memory, and each second of that is billed.
describe("an object that is idle", () => {
  it("has no timer left, whatever its worker has done: jobs run, failed, tried again, cancelled, delayed", async () => {
    const { name, queue } = open();
    const email = { to: "ada@example.com" };
    await ended(queue, await queue.addJob("email", email));
    await ended(queue, await queue.addJob("flaky", { failures: 1 }, { timeout: "1m" }));
    const cancelled = await queue.addJob("sleep", { ms: 60_000 });
    await vi.waitFor(async () => expect(await queue.get(cancelled)).toMatchObject({ state: "active" }));
    expect(timersOf(name).size).toBeGreaterThan(0);
    await queue.cancel(cancelled);
    await ended(queue, cancelled);
    await queue.addJob("email", email, { delay: "1h" });
    await queue.counts();
    await vi.waitFor(() => expect(timersOf(name).size).toBe(0));
  });

  it("has none after an alarm", async () => {
    const { name, queue } = open();
    const id = await queue.addJob("email", { to: "ada@example.com" }, { delay: 50 });
    await ended(queue, id);
    await vi.waitFor(() => expect(timersOf(name).size).toBe(0));
  });

  it("has none when its worker was told of a job that it cannot run", async () => {
    const { name } = open();
    const stub = queueStub(env.WORK_QUEUE, name);
    await stub.enqueue([{ queue: name, name: "fax", payload: "{}" }]);
    await vi.waitFor(async () =>
      expect(await stub.list({ queue: name })).toMatchObject({ value: { jobs: [{ blockedBy: "name" }] } }),
    );
    await vi.waitFor(() => expect(timersOf(name).size).toBe(0));
  });
});

describe("an object that dies under who watches it", () => {
  it("is watched again by itself, and tells of all that may have been missed", async () => {
    const { queue, object } = open();
    const kinds: string[] = [];
    const stop = queue.watch(({ kind }) => kinds.push(kind));
    await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await vi.waitFor(() => expect(kinds).toContain("ready"));
    await runInDurableObject(object, (_, ctx) => ctx.abort("died")).catch(() => {});
    kinds.length = 0;
    await vi.waitFor(() => expect(kinds).toContain("settings"), { timeout: 10_000 });
    kinds.length = 0;
    await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await vi.waitFor(() => expect(kinds).toContain("ready"));
    stop();
  });
});
