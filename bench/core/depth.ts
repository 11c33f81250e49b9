import { memoryDriver, Queue } from "@quayside/core";

interface Jobs {
  count: { index: number };
}

const BATCH = 10_000;
/** Jobs worked in one measurement. */
export const WORKED = 2_000;

/** A queue with so many no-op jobs waiting, of which a few at a time are worked. */
export class DeepQueue {
  readonly #queue: Queue<Jobs>;

  private constructor(queue: Queue<Jobs>) {
    this.#queue = queue;
  }

  static async fill(waiting: number): Promise<DeepQueue> {
    const queue = new Queue<Jobs>("bench", memoryDriver());
    await queue.configure({ keep: { completed: 0 } });
    queue.on("job:count", () => {});
    const deep = new DeepQueue(queue);
    await deep.#add(waiting);
    return deep;
  }

  /** Works some of them, 50 at a time, and adds as many anew: the depth stays. Answers ms a job, without the adding. */
  async msPerJob(): Promise<number> {
    const start = performance.now();
    await this.#queue.run({ concurrency: 50, maxJobs: WORKED });
    await this.#idle();
    const ms = performance.now() - start;
    await this.#queue.stop();
    await this.#add(WORKED);
    return ms / WORKED;
  }

  async #add(jobs: number): Promise<void> {
    for (let added = 0; added < jobs; added += BATCH) {
      const count = Math.min(BATCH, jobs - added);
      await this.#queue.addJobs(
        Array.from({ length: count }, (_, index) => ({ name: "count" as const, payload: { index } })),
      );
    }
  }

  /** A worker is idle when its quota is spent. */
  #idle(): Promise<void> {
    return new Promise((resolve) => {
      const off = this.#queue.on("idle", () => {
        off();
        resolve();
      });
    });
  }
}
