import { indexedDbDriver, liveCounts, workerEvents } from "@quayside/browser";
import { Queue } from "@quayside/core";
import { describe, expect, it, vi } from "vitest";
import { freshName } from "./support/databases.ts";
import type { ThreadJobs } from "./support/thread.ts";
import { joinSharedThread, startThread } from "./support/threads.ts";

const eventually = (check: () => unknown) => vi.waitFor(check, { timeout: 10_000 });

/** A page that adds jobs and looks on; whoever works them tells it. */
function openPage() {
  const name = freshName();
  const driver = indexedDbDriver({ name });
  const queue = new Queue<ThreadJobs>("sums", driver);
  const told: string[] = [];
  const results: { readonly thread: string; readonly sum: number }[] = [];
  const events = workerEvents(name);
  const stops = [
    events.on("active", ({ job }) => told.push(`active ${job.id}`)),
    events.on("progress", ({ job, progress }) => told.push(`progress ${job.id} ${progress}`)),
    events.on("completed", ({ job, result }) => {
      told.push(`completed ${job.id}`);
      results.push(result as (typeof results)[number]);
    }),
  ];
  const counts = liveCounts(queue);
  stops.push(counts.subscribe(() => {}));
  const close = async () => {
    for (const stop of stops) stop();
    await driver.close();
  };
  return { name, queue, counts, told, results, close };
}

describe("a dedicated worker", () => {
  it("works what the page adds, and the page sees its events and the counts", async () => {
    const { name, queue, counts, told, results, close } = openPage();
    const thread = await startThread({ name });
    const first = await queue.addJob("sum", { numbers: [1, 2] });
    await eventually(() => expect(counts.getSnapshot().value).toMatchObject({ waiting: 0, completed: 1 }));
    const second = await queue.addJob("sum", { numbers: [3, 4] });
    await eventually(() => expect(counts.getSnapshot().value).toMatchObject({ completed: 2 }));
    await eventually(() => expect(results.map(({ sum }) => sum)).toEqual([3, 7]));
    expect(told).toEqual([first, second].flatMap((id) => [`active ${id}`, `progress ${id} 0.5`, `completed ${id}`]));
    thread.terminate();
    await close();
  });

  it("that is terminated in the middle of jobs leaves them to another, which runs already", async () => {
    const { name, queue, counts, told, results, close } = openPage();
    // Nothing tells of a lock that was let go: the others look at each third of a lease.
    const lease = "1s";
    const victim = await startThread({ name, lease });
    const ids = await queue.addJobs([1, 2, 3].map((n) => ({ name: "sum", payload: { numbers: [n], hold: true } })));
    await eventually(() => expect(told.filter((event) => event.startsWith("progress"))).toHaveLength(3));
    const survivor = await startThread({ name, lease });
    expect((await queue.counts()).active).toBe(3);

    victim.terminate();
    await eventually(() => expect(counts.getSnapshot().value).toMatchObject({ active: 0, completed: 3 }));
    await eventually(() => expect(results.map(({ sum }) => sum).sort()).toEqual([1, 2, 3]));
    for (const id of ids) expect(await queue.get(id)).toMatchObject({ interruptions: 1, attempts: 1 });
    survivor.terminate();
    await close();
  });

  it("that is terminated leaves its jobs to the page, when that works them itself", async () => {
    const { name, queue, told, close } = openPage();
    const thread = await startThread({ name });
    const id = await queue.addJob("sum", { numbers: [1], hold: true });
    await eventually(() => expect(told).toContain(`progress ${id} 0.5`));
    thread.terminate();
    queue.on("job:sum", () => "here");
    await queue.run();
    expect(await queue.waitFor(id, { timeout: "10s" })).toBe("here");
    await queue.stop();
    await close();
  });
});

describe("a shared worker", () => {
  it("works what any page adds, in one thread for all, and each page sees its events and the counts", async () => {
    const { name, queue, counts, told, results, close } = openPage();
    await Promise.all([joinSharedThread({ name }), joinSharedThread({ name })]);
    const driver = indexedDbDriver({ name });
    const other = new Queue<ThreadJobs>("sums", driver);
    const first = await queue.addJob("sum", { numbers: [1, 2] });
    await eventually(() => expect(counts.getSnapshot().value).toMatchObject({ completed: 1 }));
    const second = await other.addJob("sum", { numbers: [3, 4] });
    await eventually(() => expect(counts.getSnapshot().value).toMatchObject({ completed: 2 }));
    await eventually(() => expect(results.map(({ sum }) => sum)).toEqual([3, 7]));
    expect(new Set(results.map(({ thread }) => thread)).size).toBe(1);
    expect(told).toEqual([first, second].flatMap((id) => [`active ${id}`, `progress ${id} 0.5`, `completed ${id}`]));
    await Promise.all([close(), driver.close()]);
  });
});
