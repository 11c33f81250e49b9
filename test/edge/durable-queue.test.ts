import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Queue } from "@quayside/core";
import { edgeQueue, queueStub, StubDriver } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type BareQueue, jobs, ran } from "./queues.ts";
import { ended, open } from "./work-queue.ts";

afterEach(reset);

describe("a queue's object", () => {
  it("runs a job as soon as it is added, with what its schema makes of the payload", async () => {
    const { queue } = open();
    const id = await queue.addJob("email", { to: "ada@example.com" });
    expect(await ended(queue, id)).toMatchObject({
      state: "completed",
      attempts: 1,
      result: { to: "ada@example.com", lines: 0 },
    });
  });

  it("gives its handlers the Worker's env", async () => {
    const { queue } = open();
    const id = await queue.addJob("note", { board: "env", note: "hello" });
    await ended(queue, id);
    expect(await env.SMOKE.getByName("env").notes()).toEqual(["hello"]);
  });

  it("tries a failing job again, and keeps its result when it succeeds", async () => {
    const { queue } = open();
    const id = await queue.addJob("flaky", { failures: 2 });
    expect(await ended(queue, id)).toMatchObject({ state: "completed", attempts: 3, result: 3 });
  });

  it("fails a job for good after its last attempt", async () => {
    const { queue } = open();
    const id = await queue.addJob("flaky", { failures: 9 });
    expect(await ended(queue, id)).toMatchObject({ state: "failed", attempts: 5, error: { message: "failure 5" } });
  });

  it("R29: fails a job whose result has 40 million characters by its code; those claimed with it complete once", async () => {
    const { queue } = open();
    ran.length = 0;
    const email = (n: number) => ({ name: "email" as const, payload: { to: `neighbour-${n}@b.example` } });
    const verbose = { name: "verbose" as const, payload: { chars: 40_000_000 } };
    const ids = await queue.addJobs([email(0), email(1), verbose, email(2), email(3)]);
    const jobs = await Promise.all(ids.map((id) => ended(queue, id)));
    const [large] = jobs.splice(2, 1);
    expect(large).toMatchObject({ state: "failed", error: { code: "result_too_large" } });
    expect(large?.attempts).toBeLessThanOrEqual(3);
    for (const job of jobs) expect(job).toMatchObject({ state: "completed", attempts: 1 });
    expect(ran.filter((name) => name === "verbose")).toHaveLength(large?.attempts ?? 0);
    expect(ran.filter((name) => name !== "verbose").sort()).toEqual([0, 1, 2, 3].map((n) => email(n).payload.to));
    // And the object goes on.
    await ended(queue, await queue.addJob("email", email(4).payload));
    expect(await queue.counts()).toMatchObject({ completed: 5, failed: 1, waiting: 0, active: 0, delayed: 0 });
  });

  it("works hundreds of jobs added at once", async () => {
    const { queue } = open();
    await queue.configure({ keep: { completed: 0 } });
    await queue.addJobs(Array.from({ length: 500 }, () => ({ name: "email", payload: { to: "a@b.example" } })));
    await vi.waitFor(async () => expect(await queue.size()).toBe(0), { timeout: 10_000, interval: 20 });
  });

  it("tells a handler to stop when its job is cancelled", async () => {
    const { queue } = open();
    const id = await queue.addJob("sleep", { ms: 60_000 });
    await vi.waitFor(async () => expect((await queue.get(id))?.state).toBe("active"));
    await queue.cancel(id);
    expect(await ended(queue, id)).toMatchObject({ state: "cancelled" });
  });

  it("answers errors with their code, over RPC", async () => {
    const { queue } = open();
    await expect(queue.retry("no such job")).rejects.toMatchObject({ code: "job_not_found" });
    const id = await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await expect(queue.retry(id)).rejects.toMatchObject({ code: "conflict" });
    await expect(queue.list({ cursor: "no such page" })).rejects.toMatchObject({ name: "QuaysideError" });
  });

  it("tells who watches what changed, and no more once the watcher has stopped", async () => {
    const { queue } = open();
    const kinds: string[] = [];
    const stop = queue.watch(({ kind }) => kinds.push(kind));
    const id = await queue.addJob("email", { to: "ada@example.com" });
    await ended(queue, id);
    await vi.waitFor(() => expect(kinds).toContain("ended"));
    stop();
    const told = kinds.length;
    await ended(queue, await queue.addJob("email", { to: "bob@example.com" }));
    expect(kinds.length).toBe(told);
  });
});

describe("the first answer after an object was unloaded", () => {
  async function unloaded(more: (queue: ReturnType<typeof open>["queue"]) => Promise<unknown> = async () => {}) {
    const { queue, object } = open();
    await more(queue);
    await ended(queue, await queue.addJob("email", { to: "ada@example.com" }));
    await evictDurableObject(object);
    return queue;
  }

  it("counts no job as active that ended before", async () => {
    const queue = await unloaded();
    expect(await queue.counts()).toMatchObject({ waiting: 0, active: 0, completed: 1 });
  });

  it("counts every job that waits", async () => {
    const queue = await unloaded(async ({ name }) => {
      const other = edgeQueue(env.WORK_QUEUE, name);
      await other.addJob("fax", {});
      await vi.waitFor(async () => expect((await other.list()).jobs[0]).toMatchObject({ blockedBy: "name" }));
    });
    expect(await queue.counts()).toMatchObject({ waiting: 1, active: 0 });
  });

  it("has a size of 0 when all jobs have ended", async () => {
    const queue = await unloaded();
    expect(await queue.size()).toBe(0);
  });
});

describe("a queue's object with several queues", () => {
  it("works all of them, also those it held before it was started again", async () => {
    const { name, object } = open();
    const driver = new StubDriver(() => queueStub(env.WORK_QUEUE, name));
    const [mail, bulk] = ["mail", "bulk"].map((queue) => new Queue<typeof jobs>(queue, driver, { jobs })) as [
      Queue<typeof jobs>,
      Queue<typeof jobs>,
    ];
    const ids = [await mail.addJob("email", { to: "a@b.example" }), await bulk.addJob("email", { to: "a@b.example" })];
    expect(await ended(mail, ids[0] as string)).toMatchObject({ state: "completed" });
    expect(await ended(bulk, ids[1] as string)).toMatchObject({ state: "completed" });

    const later = await bulk.addJob("note", { board: "several", note: "later" }, { delay: 300 });
    await evictDurableObject(object);
    await mail.counts();
    expect(await ended(bulk, later)).toMatchObject({ state: "completed" });
  });

  it("streams the changes of the queue that was asked for alone", async () => {
    const { name } = open();
    const stub = queueStub(env.WORK_QUEUE, name);
    const driver = new StubDriver(() => stub);
    const stream = await stub.events("mail");
    for (const queue of ["bulk", "mail"]) {
      await driver.enqueue([{ queue, name: "email", payload: '{"to":"a@b.example"}', delayMs: 60_000 }]);
    }
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("data:")) text += (await reader.read()).value ?? "";
    expect(text).toContain('"queue":"mail"');
    expect(text).not.toContain("bulk");
    await reader.cancel();
  });
});

describe("a job that an object cannot run", () => {
  it("waits for another worker when its name has no handler here", async () => {
    const { name } = open();
    const queue = edgeQueue(env.WORK_QUEUE, name);
    const id = await queue.addJob("fax", {});
    await vi.waitFor(async () => expect(await queue.get(id)).toMatchObject({ state: "waiting", blockedBy: "name" }));
  });

  it("fails for good when its payload does not fit its schema any more", async () => {
    const { name, queue } = open();
    const id = await edgeQueue(env.WORK_QUEUE, name).addJob("email", { to: "nobody" });
    expect(await ended(queue, id)).toMatchObject({ state: "failed", attempts: 1, error: { code: "invalid_payload" } });
  });
});

describe("a stream of changes", () => {
  const sockets = (object: DurableObjectStub<BareQueue>) =>
    runInDurableObject(object, (_: BareQueue, ctx) => ctx.getWebSockets().length);

  it("whose reader has gone leaves nothing behind in the object", async () => {
    const object = env.BARE_QUEUE.getByName("reader-gone");
    const stream = await queueStub(env.BARE_QUEUE, "reader-gone").events();
    const reader = stream.getReader();
    await reader.read();
    expect(await object.timers()).toBe(0);
    expect(await sockets(object)).toBe(1);
    await reader.cancel();
    await vi.waitFor(async () => expect(await sockets(object)).toBe(0));
  });

  it("that is asked for over RPC keeps the object awake, and leaves nothing behind either", async () => {
    const object = env.BARE_QUEUE.getByName("reader-gone-rpc");
    const reader = (await object.events()).getReader();
    await reader.read();
    expect(await object.timers()).toBe(1);
    await reader.cancel();
    // The runtime finds out when it writes to it: at the next heartbeat, at the latest.
    await object.advance(25_000);
    await vi.waitFor(async () => expect(await object.timers()).toBe(0));
  });

  it("goes on while the object sleeps: it is not opened anew, and misses nothing", async () => {
    const { queue, object } = open();
    const kinds: string[] = [];
    const stop = queue.watch(({ kind }) => kinds.push(kind));
    const add = () => queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await add();
    // A stream that opens tells of all kinds, and of the add if it came afterwards. What comes behind the pause is all new.
    const told = (times: number) =>
      vi.waitFor(() => expect(kinds.filter((kind) => kind === "settings")).toHaveLength(times));
    await told(1);
    await queue.pause();
    await told(2);
    for (let sleep = 0; sleep < 3; sleep++) {
      kinds.length = 0;
      await evictDurableObject(object);
      await add();
      await vi.waitFor(() => expect(kinds).toEqual(["ready"]));
    }
    stop();
  });

  it("tells each of several watchers of its own queue", async () => {
    const stub = queueStub(env.WORK_QUEUE, "several-watchers");
    const read = async (queue: string) => {
      const reader = (await stub.events(queue)).pipeThrough(new TextDecoderStream()).getReader();
      return async () => {
        let text = "";
        while (!text.includes("data:")) text += (await reader.read()).value ?? "";
        await reader.cancel();
        return text;
      };
    };
    const [mail, bulk] = [await read("mail"), await read("bulk & more")];
    for (const queue of ["bulk & more", "mail"])
      await stub.enqueue([{ queue, name: "email", payload: '{"to":"a@b.example"}', delayMs: 60_000 }]);
    expect(await mail()).not.toContain("bulk");
    expect(await bulk()).toContain('{"queue":"bulk & more","kind":"ready"}');
  });

  it("is no page of the object's: other requests are not found", async () => {
    const response = await env.BARE_QUEUE.getByName("pages").fetch("https://object/other");
    expect(response.status).toBe(404);
  });
});
