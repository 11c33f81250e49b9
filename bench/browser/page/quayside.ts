import { indexedDbDriver } from "@quayside/browser";
import { Queue } from "@quayside/core";
import { type Contestant, noOp, PAYLOAD, type Payload } from "./contestant.ts";

interface Jobs {
  email: Payload;
}

/** As a page uses it, with default options; of jobs that are done nothing is kept, as none of the others keeps anything. */
export const quayside: Contestant = {
  async open(name) {
    const driver = indexedDbDriver({ name });
    const queue = new Queue<Jobs>("bench", driver);
    await queue.configure({ keep: { completed: 0 } });
    const many = (count: number) => Array.from({ length: count }, () => ({ name: "email" as const, payload: PAYLOAD }));
    return {
      add: () => queue.addJob("email", PAYLOAD),
      addBulk: (count) => queue.addJobs(many(count)),
      async addLater(count) {
        for (let left = count; left > 0; left -= 10_000)
          await queue.addJobs(many(Math.min(left, 10_000)).map((job) => ({ ...job, delay: "1h" as const })));
      },
      async work(count, concurrency) {
        let left = count;
        const gone = new Promise<void>((resolve, reject) => {
          queue.on("completed", () => --left === 0 && resolve());
          queue.on("failed", ({ error }) => reject(error));
        });
        const off = queue.on("job:email", noOp);
        await queue.run({ concurrency, maxJobs: count });
        await gone;
        await queue.stop();
        off();
      },
      async wait() {
        let started = 0;
        let idle = () => {};
        queue.on("job:email", async () => {
          started = performance.now();
        });
        queue.on("idle", () => idle());
        const untilIdle = () =>
          new Promise<void>((resolve) => {
            idle = resolve;
          });
        const atRest = untilIdle();
        await queue.run();
        await atRest;
        return {
          async pickUp() {
            const start = performance.now();
            started = 0;
            const atRestAgain = untilIdle();
            await queue.addJob("email", PAYLOAD);
            await atRestAgain;
            if (started === 0) throw new Error("Idle, and the job has not run.");
            return started - start;
          },
          stop: () => queue.stop(),
        };
      },
      close: () => driver.close(),
    };
  },
};
