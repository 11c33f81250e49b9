import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type JobRecord, Queue } from "@quayside/core";
import { edgeQueue, queueStub, StubDriver } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ahead, hasty, jobs, type WorkQueue } from "./queues.ts";

afterEach(reset);

const names = (function* () {
  for (let count = 0; ; count++) yield `queue-${count}`;
})();

function open(name = names.next().value as string) {
  const queue = edgeQueue<typeof jobs>(env.WORK_QUEUE, name, { jobs });
  const object = env.WORK_QUEUE.getByName(name);
  const storage = <T>(work: (storage: DurableObjectStorage) => T) =>
    runInDurableObject(object, (_: WorkQueue, state) => work(state.storage));
  return { name, queue, object, storage, alarm: () => storage((inside) => inside.getAlarm()) };
}

async function ended(queue: Queue<typeof jobs>, id: string): Promise<JobRecord> {
  const states = ["completed", "failed", "cancelled"];
  return vi.waitFor(
    async () => {
      const job = await queue.get(id);
      if (!job || !states.includes(job.state)) throw new Error(`Job ${id} is ${job?.state}.`);
      return job;
    },
    { timeout: 10_000, interval: 10 },
  );
}

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
  it("whose reader has gone leaves nothing behind in the object", async () => {
    const object = env.BARE_QUEUE.getByName("reader-gone");
    const stream = await queueStub(env.BARE_QUEUE, "reader-gone").events();
    const reader = stream.getReader();
    await reader.read();
    expect(await object.timers()).toBe(1);
    await reader.cancel();
    // The runtime finds out when it writes to it: at the next heartbeat, at the latest.
    await object.advance(25_000);
    await vi.waitFor(async () => expect(await object.timers()).toBe(0));
  });
});

describe("the alarm of a queue's object", () => {
  it("is armed with the job: for its instant when it is delayed, for ten seconds from now when it is due", async () => {
    const delayed = open();
    await delayed.queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    const inAnHour = Date.now() + 3_600_000;
    expect(Math.abs(((await delayed.alarm()) as number) - inAnHour)).toBeLessThan(2_000);

    const due = open();
    await due.queue.addJob("sleep", { ms: 100 });
    expect(Math.abs(((await due.alarm()) as number) - Date.now() - 10_000)).toBeLessThan(2_000);
  });

  it("is set for the earliest job, and not again for later ones", async () => {
    const { queue, object, alarm } = open();
    await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await queue.addJob("email", { to: "ada@example.com" }, { delay: "2h" });
    expect(await object.usage()).toMatchObject({ alarmsSet: 1 });
    await queue.addJob("email", { to: "ada@example.com" }, { delay: "10m" });
    expect(await object.usage()).toMatchObject({ alarmsSet: 2 });
    expect(((await alarm()) as number) - Date.now()).toBeLessThanOrEqual(600_000);
  });

  it("runs a delayed job in an object that was evicted meanwhile, and that nobody calls", async () => {
    const { queue, object } = open();
    await queue.addJob("note", { board: "alarm", note: "in time" }, { delay: 400 });
    await evictDurableObject(object);
    const board = env.SMOKE.getByName("alarm");
    await vi.waitFor(async () => expect(await board.notes()).toEqual(["in time"]), { timeout: 5_000 });
  });

  it("that rings with nothing due is armed for what comes next", async () => {
    const { queue, object, alarm } = open();
    await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    const armed = await alarm();
    await runDurableObjectAlarm(object);
    expect(await alarm()).toBe(armed);
  });

  it("that rings over an empty queue is not armed again", async () => {
    const { queue, object, alarm } = open();
    await ended(queue, await queue.addJob("email", { to: "ada@example.com" }));
    await runDurableObjectAlarm(object);
    expect(await alarm()).toBeNull();
  });

  it("waits for the work it finds", async () => {
    const { queue, object } = open();
    const id = await queue.addJob("sleep", { ms: 300 });
    await runDurableObjectAlarm(object);
    expect((await queue.get(id))?.state).toBe("completed");
  });

  it("hands what is still at work after 14 minutes to the next alarm", async () => {
    const { name, queue, object, alarm } = open();
    hasty.add(name);
    const id = await queue.addJob("sleep", { ms: 500 });
    const started = Date.now();
    await runInDurableObject(object, (instance: WorkQueue) => instance.alarm());
    expect(Date.now() - started).toBeLessThan(400);
    expect((await queue.get(id))?.state).toBe("active");
    expect(((await alarm()) ?? 0) - Date.now()).toBeLessThan(100);
    expect(await ended(queue, id)).toMatchObject({ state: "completed", interruptions: 0 });
  });

  it("that was lost is found missing by the next call", async () => {
    const { queue, storage, alarm } = open();
    const id = await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await storage((inside) => inside.deleteAlarm());
    await evictDurableObject(env.WORK_QUEUE.getByName(queue.name));
    await queue.get(id);
    expect(((await alarm()) as number) - Date.now()).toBeGreaterThan(3_500_000);
  });

  it("that should have rung long ago is set again by the next call", async () => {
    const { name, queue, storage, alarm } = open();
    await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await storage((inside) => inside.deleteAlarm());
    await queue.counts();
    expect(await alarm()).toBeNull();
    ahead.set(name, 2 * 3_600_000);
    await queue.counts();
    expect(await alarm()).not.toBeNull();
  });

  it("never throws, and tries again later when the storage fails", async () => {
    const { queue, object, storage, alarm } = open();
    await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await storage((inside) => void inside.sql.exec("DROP TABLE quayside_jobs"));
    await runDurableObjectAlarm(object);
    const again = ((await alarm()) as number) - Date.now();
    expect(again).toBeGreaterThan(5_000);
    expect(again).toBeLessThan(60_000);
  });

  it("is not armed in an object without handlers: its workers are elsewhere", async () => {
    const object = env.BARE_QUEUE.getByName("bare-alarm");
    await edgeQueue(env.BARE_QUEUE, "bare-alarm").addJob("email", {}, { delay: "1h" });
    expect(await runInDurableObject(object, (_, state) => state.storage.getAlarm())).toBeNull();
  });
});
