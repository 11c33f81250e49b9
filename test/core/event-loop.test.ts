import { memoryDriver, Queue } from "@quayside/core";
import { expect, it, vi } from "vitest";

/** Counts the tasks of the event loop that ran while `work` did. */
async function tasksDuring(work: () => Promise<unknown>): Promise<number> {
  let tasks = 0;
  let counting = true;
  const count = () => {
    if (!counting) return;
    tasks++;
    setImmediate(count);
  };
  setImmediate(count);
  await work();
  counting = false;
  return tasks;
}

it("R40: between two exchanges of a worker the event loop takes a turn, so that timers and I/O go on", async () => {
  const queue = new Queue("loop", memoryDriver());
  queue.on("job:noop", () => {});
  await queue.addJobs(Array.from({ length: 500 }, () => ({ name: "noop", payload: null })));
  const tasks = await tasksDuring(() => queue.drain({ concurrency: 1 }));
  expect(tasks).toBeGreaterThanOrEqual(500);
});

it("R40: a job that is given back at once again and again leaves the event loop its turns", async () => {
  const queue = new Queue("loop", memoryDriver());
  let left = 200;
  queue.on("job:spin", (_, ctx) => (--left > 0 ? ctx.release() : undefined));
  await queue.addJobs(Array.from({ length: 20 }, () => ({ name: "spin", payload: null })));
  const tasks = await tasksDuring(() => queue.drain({ concurrency: 1 }));
  expect(tasks).toBeGreaterThanOrEqual(200);
});

it("R40: a queue works on under fake timers, which stand still until a test moves them", async () => {
  vi.useFakeTimers();
  try {
    const queue = new Queue("loop", memoryDriver());
    let runs = 0;
    queue.on("job:noop", () => void runs++);
    await queue.addJobs(Array.from({ length: 30 }, () => ({ name: "noop", payload: null })));
    await queue.drain({ concurrency: 1 });
    expect(runs).toBe(30);
  } finally {
    vi.useRealTimers();
  }
});
