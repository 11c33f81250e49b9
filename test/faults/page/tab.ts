import { indexedDbDriver } from "@quayside/browser";
import { Queue } from "@quayside/core";

/** What the tests of a tab's death call from outside. */
export interface Tab {
  /** Keeps every ended job, so that the test can count them; adds `count` jobs, numbered from 0. */
  add(count: number): Promise<void>;
  run(concurrency: number): Promise<void>;
  counts(): Promise<{ waiting: number; delayed: number; active: number; completed: number; failed: number }>;
  /** The numbers of all completed jobs, and how many jobs were interrupted. */
  completed(): Promise<{ numbers: number[]; interrupted: number }>;
  /** Resolves when this tab has completed so many jobs. */
  handled(count: number): Promise<void>;
  /** Resolves when nothing is left in the queue. */
  empty(): Promise<void>;
}

declare global {
  interface Window {
    tab: Tab;
  }
}

interface Jobs {
  count: number;
}

const queue = new Queue<Jobs>("work", indexedDbDriver({ name: "faults" }));
let done = 0;
queue.on("job:count", async () => {
  // Long enough that some run when the tab dies: a message to oneself is a turn of the event loop.
  await new Promise<void>((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
});
queue.on("completed", () => {
  done++;
});

window.tab = {
  async add(count) {
    await queue.configure({ keep: { completed: 1_000_000, failed: 1_000_000 } });
    await queue.addJobs(Array.from({ length: count }, (_, payload) => ({ name: "count" as const, payload })));
  },
  run: (concurrency) => queue.run({ concurrency }),
  counts: () => queue.counts(),
  async completed() {
    const numbers: number[] = [];
    let interrupted = 0;
    for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
      const page = await queue.list({ state: "completed", limit: 1_000, ...(cursor !== undefined && { cursor }) });
      numbers.push(...page.jobs.map(({ payload }) => payload as number));
      interrupted += page.jobs.filter(({ interruptions }) => interruptions > 0).length;
      cursor = page.cursor;
    }
    return { numbers, interrupted };
  },
  handled: (count) =>
    new Promise((resolve) => {
      const off = queue.on("completed", () => {
        if (done < count) return;
        off();
        resolve();
      });
    }),
  empty: () =>
    new Promise((resolve) => {
      // Idle is also between a job taken back and the end of its backoff: only an empty queue is the end.
      const off = queue.on("idle", async () => {
        if ((await queue.size()) > 0) return;
        off();
        resolve();
      });
    }),
};
