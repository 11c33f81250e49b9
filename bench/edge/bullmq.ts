import { Queue, Worker } from "bullmq";
import type { RedisServer } from "./redis.ts";
import { payloadOf } from "./worker/contestant.ts";

/** As little as it can be made to do: nothing is kept of what completes. */
const OPTIONS = { removeOnComplete: true };
const LONG_MS = 600_000;

let opened = 0;

/** A BullMQ queue on Redis, both on this machine, with what the contestants in objects do. */
export class BullQueue {
  readonly #name = `bench-${++opened}`;
  readonly #connection: { readonly host: string; readonly port: number; readonly maxRetriesPerRequest: null };
  readonly #queue: Queue;

  constructor({ port }: RedisServer) {
    this.#connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
    this.#queue = new Queue(this.#name, { connection: this.#connection });
  }

  async ready(): Promise<this> {
    await this.#queue.waitUntilReady();
    return this;
  }

  async add(jobs: number, batch: number): Promise<void> {
    for (let from = 0; from < jobs; from += batch) {
      if (batch === 1) await this.#queue.add("email", payloadOf(from), OPTIONS);
      else await this.#queue.addBulk(Array.from({ length: batch }, (_, index) => this.#job(from + index)));
    }
  }

  /** Works so many waiting jobs; resolves with the time it took when the last is completed, in ms. */
  async work(jobs: number, concurrency: number): Promise<number> {
    const worker = await this.#worker(async () => {}, concurrency);
    let left = jobs;
    const all = new Promise<void>((resolve) => {
      worker.on("completed", () => {
        if (--left === 0) resolve();
      });
    });
    const start = performance.now();
    void worker.run();
    await all;
    const took = performance.now() - start;
    await worker.close();
    return took;
  }

  /** Adds jobs to an idle worker, one after the other; answers how long each took to its start, in ms. */
  async startEach(samples: number, pause: (ms: number) => Promise<unknown>): Promise<number[]> {
    let started = () => {};
    const worker = await this.#worker(async () => started(), 10);
    void worker.run();
    const took: number[] = [];
    for (let sample = 0; sample < samples; sample++) {
      await pause(5);
      const start = performance.now();
      const running = new Promise<void>((resolve) => {
        started = resolve;
      });
      await this.add(1, 1);
      await running;
      took.push(performance.now() - start);
    }
    await worker.close();
    return took;
  }

  /** Claims and settles so many jobs by hand, one at a time, whatever waits behind them. In ms. */
  async exchanges(jobs: number): Promise<number> {
    const worker = await this.#worker(null, 1);
    const start = performance.now();
    for (let index = 0; index < jobs; index++) {
      const job = await worker.getNextJob("bench");
      await job?.moveToCompleted("", "bench", false);
    }
    const took = performance.now() - start;
    await worker.close();
    return took;
  }

  async close(): Promise<void> {
    await this.#queue.obliterate({ force: true });
    await this.#queue.close();
  }

  #job(index: number) {
    return { name: "email", data: payloadOf(index), opts: OPTIONS };
  }

  async #worker(run: (() => Promise<void>) | null, concurrency: number): Promise<Worker> {
    const worker = new Worker(this.#name, run, {
      connection: this.#connection,
      autorun: false,
      concurrency,
      lockDuration: LONG_MS,
      skipStalledCheck: true,
    });
    await worker.waitUntilReady();
    return worker;
  }
}
