import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { edgeQueue } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { jobs, timersOf } from "./queues.ts";
import { ended, open as workQueue } from "./work-queue.ts";

afterEach(reset);

const email = { name: "email", payload: { to: "ada@example.com" } } as const;

/** An object that has worked before and keeps nothing of what it completes, and a meter of the rows it writes. */
async function open(name: string) {
  const queue = edgeQueue<typeof jobs>(env.WIDE_QUEUE, name, { jobs });
  const object = env.WIDE_QUEUE.getByName(name);
  const empty = () => vi.waitFor(async () => expect(await queue.size()).toBe(0), { timeout: 10_000, interval: 5 });
  await queue.configure({ keep: { completed: 0 } });
  /** Rows written by `work`, alarms included, until the queue is empty again. */
  const rows = async (work: () => Promise<unknown>) => {
    const before = await object.usage();
    await work();
    await empty();
    const after = await object.usage();
    return after.rowsWritten + after.alarmsSet - before.rowsWritten - before.alarmsSet;
  };
  return { queue, object, rows, empty };
}

describe("the rows written for a job, from its add to its end", () => {
  it("are 4 for a lone job, its alarm included, and 3 for the next: job, lease and the end of the job", async () => {
    const { queue, rows } = await open("lone");
    expect(await rows(() => queue.addJobs([email]))).toBe(4);
    // The alarm of the first still stands: it covers the second.
    expect(await rows(() => queue.addJobs([email]))).toBe(3);
  });

  it("are 5 for a lone job that wakes its object: the lease of the object's last life goes, too", async () => {
    const { queue, object, empty } = await open("asleep");
    await queue.addJobs([email]);
    await empty();
    // Its alarm has rung, and it was put out of memory.
    await runInDurableObject(object, (_, { storage }) => storage.deleteAlarm());
    await evictDurableObject(object);
    await queue.addJobs([email]);
    await empty();
    // Counted since it woke.
    const { rowsWritten, alarmsSet } = await object.usage();
    expect([rowsWritten, alarmsSet]).toEqual([4, 1]);
  });

  it("are at most 2.02 in batches of 100", async () => {
    const { queue, rows } = await open("batches");
    const written = await rows(async () => {
      for (let batch = 0; batch < 10; batch++) await queue.addJobs(Array.from({ length: 100 }, () => email));
    });
    expect(written / 1_000).toBeLessThanOrEqual(2.02);
  });

  it("are 2 more for a lone job of a group, and at most 4 more where each waits for the one before", async () => {
    const { queue, rows } = await open("groups");
    const grouped = { ...email, group: { key: "g" } };
    await rows(() => queue.addJobs([email]));
    expect(await rows(() => queue.addJobs([grouped]))).toBe(3 + 2);
    const written = await rows(() => queue.addJobs(Array.from({ length: 100 }, () => grouped)));
    expect(written / 100).toBeLessThanOrEqual(3 + 4);
  });

  it("are 1 for each job that is only added, and 1 for the alarm of the batch", async () => {
    const { queue, object } = await open("adds");
    const before = await object.usage();
    await queue.addJobs(Array.from({ length: 100 }, () => ({ ...email, delay: "1h" as const })));
    const after = await object.usage();
    expect(after.rowsWritten - before.rowsWritten).toBe(100);
    expect(after.alarmsSet - before.alarmsSet).toBe(1);
  });
});

describe("the rows read", () => {
  it("for a job do not grow with the backlog behind it", async () => {
    const { queue, object } = await open("backlog");
    const read = async () => {
      const before = (await object.usage()).rowsRead;
      const id = await queue.addJob("email", email.payload);
      await vi.waitFor(async () => expect(await queue.get(id)).toBeUndefined(), { interval: 20 });
      return (await object.usage()).rowsRead - before;
    };
    await read();
    const shallow = await read();
    // A look reads the first ten records of the line as if they were due.
    await queue.addJobs(Array.from({ length: 5_000 }, () => ({ ...email, delay: "1h" as const })));
    expect(await read()).toBeLessThanOrEqual(shallow + 40);
    await queue.addJobs(Array.from({ length: 5_000 }, () => ({ ...email, delay: "1h" as const, priority: 5 })));
    expect(await read()).toBeLessThanOrEqual(shallow + 60);
  });
});

describe("the time that an object is billed for", () => {
  it("ends with its last job: it waits for no timer, which would keep it from sleeping", async () => {
    const { name, queue } = workQueue();
    const ids = await queue.addJobs([
      { name: "email", payload: { to: "ada@example.com" } },
      { name: "sleep", payload: { ms: 50 } },
      { name: "flaky", payload: { failures: 1 } },
    ]);
    for (const id of ids) await ended(queue, id);
    await vi.waitFor(() => expect([...timersOf(name)]).toEqual([]));
    // A handler that runs is awaited, and its lease renewed.
    const id = await queue.addJob("sleep", { ms: 60_000 });
    await vi.waitFor(async () => expect((await queue.get(id))?.state).toBe("active"));
    expect(timersOf(name).size).toBe(1);
    await queue.cancel(id);
    await ended(queue, id);
    await vi.waitFor(() => expect(timersOf(name).size).toBe(0));
  });
});
