import { memoryDriver, Queue, RetryAfterError } from "@quayside/core";
import { describe, expect, it, vi } from "vitest";

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

describe("R40: an endless chain of jobs leaves the event loop its turns", () => {
  const MOST_RUNS = 5_000;
  const chains: Readonly<Record<string, (repeats: () => boolean) => Promise<readonly Queue[]>>> = {
    "a handler that adds its own successor": async (repeats) => {
      const queue = new Queue("loop", memoryDriver());
      queue.on("job:next", (_, ctx) => (repeats() ? ctx.enqueue({ name: "next", payload: null }) : undefined));
      await queue.addJob("next", null);
      return [queue];
    },
    "two queues that add to each other": async (repeats) => {
      const driver = memoryDriver();
      const [ping, pong] = [new Queue("ping", driver), new Queue("pong", driver)];
      ping.on("job:ball", () => (repeats() ? pong.addJob("ball", null) : undefined));
      pong.on("job:ball", () => (repeats() ? ping.addJob("ball", null) : undefined));
      await ping.addJob("ball", null);
      return [ping, pong];
    },
    "a RetryAfterError of 0 s, a million attempts": async (repeats) => {
      const queue = new Queue("loop", memoryDriver());
      queue.on("job:busy", () => {
        if (repeats()) throw new RetryAfterError(0);
      });
      await queue.addJob("busy", null, { maxAttempts: 1_000_000 });
      return [queue];
    },
    "a listener that retries what failed": async (repeats) => {
      const queue = new Queue("loop", memoryDriver());
      queue.on("job:fails", () => {
        throw new Error("no");
      });
      queue.on("failed", ({ job }) => (repeats() ? queue.retry(job.id) : undefined));
      await queue.addJob("fails", null, { maxAttempts: 1 });
      return [queue];
    },
    "a parent that adds the next flow": async (repeats) => {
      const queue = new Queue("loop", memoryDriver());
      const flow = { name: "top", payload: null, children: [{ name: "leaf", payload: null }] };
      queue.on("job:leaf", () => {});
      queue.on("job:top", () => (repeats() ? queue.addFlow(flow) : undefined));
      await queue.addFlow(flow);
      return [queue];
    },
  };
  for (const [title, start] of Object.entries(chains))
    it(title, async () => {
      let runs = 0;
      let isOver = false;
      // A chain that leaves the loop no turn ends by itself, at so many runs.
      const queues = await start(() => ++runs < MOST_RUNS && !isOver);
      for (const queue of queues) queue.run();
      const before = runs;
      await new Promise((resolve) => setImmediate(() => setTimeout(resolve, 1)));
      const meanwhile = runs - before;
      isOver = true;
      for (const queue of queues) await queue.stop({ timeout: 0 });
      expect(meanwhile).toBeLessThan(MOST_RUNS / 10);
    });
});
