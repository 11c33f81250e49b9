import type { Duration } from "../job/duration.ts";
import type { JobMap } from "../job/job-map.ts";
import type { Keep } from "../job/record.ts";
import type { Worker } from "../worker/worker.ts";
import type { WorkerStatus } from "../worker/worker-options.ts";
import type { Connections } from "./connections.ts";
import type { Placement } from "./placement.ts";
import type { Queue } from "./queue.ts";

export interface ProcessOptions {
  readonly queue?: string;
  readonly count?: number;
}

/** The workers of a manager, one a connection: they start, stop and drain together. */
export class ManagedWorkers<Jobs extends JobMap, Ctx extends object> {
  readonly #connections: Connections<Jobs, Ctx>;
  readonly #placement: Placement;
  readonly #keep: Partial<Keep> | undefined;
  #status: WorkerStatus = "stopped";

  /** @param keep how many ended jobs a queue keeps whose settings do not say. */
  constructor(connections: Connections<Jobs, Ctx>, placement: Placement, keep: Partial<Keep> | undefined) {
    this.#connections = connections;
    this.#placement = placement;
    this.#keep = keep;
  }

  get status(): WorkerStatus {
    return this.#status;
  }

  /** Has them work every queue that settings or registered jobs name. */
  work(): void {
    for (const { queue, connection } of this.#placement.worked()) {
      this.#connections.all.get(connection)?.work(queue);
    }
  }

  /** Writes the queues' settings into their stores and starts working them. */
  async start(): Promise<void> {
    if (this.#status === "running") return;
    this.#status = "running";
    try {
      await this.#configure();
      this.work();
      for (const worker of this.#workers()) await worker.start();
    } catch (error) {
      await this.stop({ timeout: 0 });
      throw error;
    }
  }

  async stop(options: { readonly timeout?: Duration }): Promise<void> {
    if (this.#status === "stopped") return;
    this.#status = "stopping";
    await Promise.all([...this.#workers()].map((worker) => worker.stop(options)));
    this.#status = "stopped";
  }

  /** Works until nothing runs and nothing is due on any connection; if they were stopped they are stopped again. */
  async drain(): Promise<void> {
    const wasStopped = this.#status === "stopped";
    if (wasStopped) await this.start();
    const workers = [...this.#workers()];
    const done = () => workers.reduce((sum, worker) => sum + worker.processedCount + worker.failedCount, 0);
    // What runs on one connection may add to another that was idle already.
    for (let before = -1; before !== done(); ) {
      before = done();
      await Promise.all(workers.map((worker) => worker.drain()));
    }
    if (wasStopped) await this.stop({});
  }

  /** Runs up to `count` due jobs, of one queue or of any, one after the other; answers how many. */
  async process({ queue, count = Number.POSITIVE_INFINITY }: ProcessOptions): Promise<number> {
    this.work();
    let ran = 0;
    for (const worker of this.#workers()) {
      while (ran < count && (await worker.processNext(queue))) ran++;
    }
    return ran;
  }

  *#workers(): Iterable<Worker> {
    for (const { worker } of this.#connections.all.values()) yield worker;
  }

  async #configure(): Promise<void> {
    const keep = this.#keep;
    const done = new Set<Queue<Jobs, Ctx>>();
    for (const { queue: name, connection } of this.#placement.worked()) {
      const queue = this.#connections.get(connection).queue(name);
      if (done.has(queue)) continue;
      done.add(queue);
      const { rateLimit, maxActive, keep: own } = this.#placement.settings(name);
      if (keep || own || rateLimit !== undefined || maxActive !== undefined) {
        await queue.configure({ rateLimit, maxActive, ...((keep || own) && { keep: { ...keep, ...own } }) });
      }
    }
  }
}
