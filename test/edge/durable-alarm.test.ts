import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { edgeQueue, type QueueRpc, queueStub } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ahead, hasty, ran, strides, ticking, timersOf, type WorkQueue } from "./queues.ts";
import { ended, open } from "./work-queue.ts";

afterEach(reset);

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

  it("rings for a retry that fell due while it was being written", async () => {
    const { name, queue } = open();
    ticking.set(name, 0);
    const started = Date.now();
    const id = await queue.addJob("flaky", { failures: 3 }, { backoff: 1 });
    expect(await ended(queue, id)).toMatchObject({ state: "completed", attempts: 4 });
    expect(Date.now() - started).toBeLessThan(5_000);
  });

  it("that rings with nothing due is armed for what comes next", async () => {
    const { queue, object, alarm } = open();
    await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    const armed = (await alarm()) as number;
    await runDurableObjectAlarm(object);
    const again = (await alarm()) as number;
    // A millisecond later: set for the instant it is rung for, it could be lost.
    expect(again - armed).toBe(1);
  });

  it("deletes what has lapsed a day after its time, although nothing calls the object", async () => {
    const { name, queue, object, alarm } = open();
    const HOUR_MS = 3_600_000;
    const kept = () =>
      runInDurableObject(object, (_, { storage }) => [...storage.sql.exec("SELECT * FROM quayside_dedupe")].length);
    const id = await queue.addJob(
      "email",
      { to: "ada@example.com" },
      { dedupe: { key: "k", mode: "throttle", ttl: "1h" } },
    );
    await ended(queue, id);
    await runDurableObjectAlarm(object);
    expect(await kept()).toBe(1);
    const left = ((await alarm()) as number) - Date.now() - 25 * HOUR_MS - 60_000;
    expect(Math.abs(left)).toBeLessThan(10_000);
    ahead.set(name, 26 * HOUR_MS);
    await runDurableObjectAlarm(object);
    expect(await kept()).toBe(0);
    // The alarm that was set first, in case the object had died meanwhile.
    await runDurableObjectAlarm(object);
    expect(await alarm()).toBeNull();
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

  it("hands what is still at work after 14 minutes to the next alarm, and it goes on meanwhile", async () => {
    const { name, queue, object, alarm } = open();
    hasty.add(name);
    const id = await queue.addJob("sleep", { ms: 500 });
    const started = Date.now();
    await runInDurableObject(object, (instance: WorkQueue) => instance.alarm());
    expect(Date.now() - started).toBeLessThan(400);
    expect((await queue.get(id))?.state).toBe("active");
    expect(((await alarm()) ?? 0) - Date.now()).toBeLessThan(100);
    expect(await ended(queue, id)).toMatchObject({ state: "completed", attempts: 1, interruptions: 0 });
  });

  it("hands over as often as it takes: nothing is run twice, nothing is left, and the last one leaves none behind", async () => {
    const { name, queue, alarm } = open();
    hasty.add(name);
    ran.length = 0;
    // Alarms of fifty milliseconds, as real ones are of fourteen minutes: some ten of them go by.
    const emails = Array.from({ length: 20 }, (_, n) => ({
      name: "email" as const,
      payload: { to: `${n}@b.example` },
      delay: 25 * n,
    }));
    const long = await queue.addJob("sleep", { ms: 600 }, { delay: 20 });
    const ids = await queue.addJobs(emails);
    for (const id of [long, ...ids])
      expect(await ended(queue, id)).toMatchObject({ state: "completed", attempts: 1, interruptions: 0 });
    expect(ran.toSorted()).toEqual(emails.map(({ payload }) => payload.to).toSorted());
    await vi.waitFor(() => expect(timersOf(name).size).toBe(0));
    // At most the guard is left, which rings once more and in vain.
    await runDurableObjectAlarm(env.WORK_QUEUE.getByName(name));
    expect(await alarm()).toBeNull();
  });

  it("that finds a lease run out stays until it may judge, though the object was evicted meanwhile", async () => {
    const { name, object, storage } = open();
    const queue = edgeQueue(env.WORK_QUEUE, name);
    // A name that the object has no handler for: a remote worker runs it.
    const id = await queue.addJob("fax", {});
    const claim = { limit: 1, queues: [{ queue: name }] };
    const remote = { worker: "remote", liveness: "time", leaseMs: 600, exchange: 1, settle: [], running: [] } as const;
    expect(await queue.driver.exchange({ ...remote, claim })).toMatchObject({ jobs: [{ job: { id } }] });
    // What it has seen of the worker so far is forgotten: it has to watch it for half a lease.
    await evictDurableObject(object);
    await storage((inside) => inside.deleteAlarm());
    ahead.set(name, 10_000);
    await runInDurableObject(object, (instance: WorkQueue) => instance.alarm());
    expect(await queue.get(id)).toMatchObject({ interruptions: 1 });
    expect(timersOf(name).size).toBe(0);
  });

  it("leaves no job behind that falls due while it ends, whatever the instant", async () => {
    const left: string[] = [];
    for (let before = 0; before < 1_000; before += 50) {
      const { name, queue, object, alarm } = open(`ends-${before}`);
      ticking.set(name, 0);
      await queue.addJob("email", { to: "bob@example.com" }, { delay: "50s" });
      const id = await queue.addJob("email", { to: "ada@example.com" }, { delay: "1m" });
      // Each read of the clock takes 100 ms: some of these jobs fall due between the last claim and the end.
      strides.set(name, 100);
      ahead.set(name, 60_000 - before);
      await runInDurableObject(object, (instance: WorkQueue) => instance.alarm());
      strides.set(name, 0);
      await new Promise((resolve) => setTimeout(resolve, 50));
      const armedAt = (await alarm()) ?? Number.POSITIVE_INFINITY;
      const job = await queue.get(id);
      const waits = armedAt - (job?.availableAt ?? 0);
      if (job?.state !== "completed" && waits > 1_000) left.push(`${before} ms before it was due: ${waits} ms`);
    }
    expect(left).toEqual([]);
  });

  it("that was lost is found missing by the next object", async () => {
    const { queue, storage, alarm } = open();
    const id = await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await storage((inside) => inside.deleteAlarm());
    await evictDurableObject(env.WORK_QUEUE.getByName(queue.name));
    await queue.get(id);
    expect(((await alarm()) as number) - Date.now()).toBeGreaterThan(3_500_000);
  });

  it("that was lost is set again by the next call, whatever that is", async () => {
    const { name, queue, storage, alarm } = open();
    const stub = queueStub(env.WORK_QUEUE, name);
    const id = await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    const calls: { readonly [Verb in keyof QueueRpc]: () => Promise<unknown> } = {
      enqueue: () => stub.enqueue([{ queue: name, name: "email", payload: "{}", id }]),
      exchange: () =>
        stub.exchange({
          ...{ worker: "remote", liveness: "time", leaseMs: 30_000, exchange: 1, settle: [], running: [] },
          claim: { limit: 0, queues: [] },
        }),
      get: () => stub.get(name, id),
      find: () => stub.find(name, [id]),
      list: () => stub.list({ queue: name }),
      counts: () => stub.counts(name),
      command: () => stub.command({ type: "promote", queue: name, id: "no such job" }).catch(() => {}),
      schedules: () => stub.schedules(name),
      children: () => stub.children(name, id, ""),
      nextWake: () => stub.nextWake([name]),
      shard: () => stub.shard("settings", { queue: name }),
      events: async () => (await stub.events()).cancel(),
    };
    for (const [verb, call] of Object.entries(calls)) {
      await storage((inside) => inside.deleteAlarm());
      await call();
      const inMs = ((await alarm()) ?? 0) - Date.now();
      expect([verb, inMs > 3_500_000 && inMs <= 3_600_000]).toEqual([verb, true]);
    }
  });

  it("that should have rung long ago is set again by the next call", async () => {
    const { name, queue, alarm } = open();
    await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    const armed = (await alarm()) as number;
    ahead.set(name, 3_600_000 + 60_000);
    await queue.counts();
    // Late as alarms are when an object is being moved: not lost yet.
    expect(await alarm()).toBe(armed);
    ahead.set(name, 2 * 3_600_000);
    await queue.counts();
    expect(((await alarm()) as number) - armed).toBeGreaterThan(3_500_000);
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
