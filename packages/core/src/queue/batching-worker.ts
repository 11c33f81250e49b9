import type { WorkerEvents } from "../attempt/worker-events.ts";
import type { Driver } from "../engine/driver.ts";
import type { Emitter } from "../job/emitter.ts";
import { JobWorker } from "../worker/job-worker.ts";
import type { StopOptions } from "../worker/life-cycle.ts";
import { type SlotMember, Slots } from "../worker/slots.ts";
import type { JobWorkerOptions, WorkerQueue } from "../worker/worker-options.ts";
import type { Batch } from "./batch-handler.ts";

export interface BatchingWorkerOptions extends Omit<JobWorkerOptions, "queues"> {
  readonly queue: WorkerQueue;
  readonly slots: Slots;
  readonly events: Emitter<WorkerEvents>;
  /** The batches by job name. Changes while the worker runs. */
  readonly batches: ReadonlyMap<string, Batch>;
}

/**
 * The worker of a queue, and one more for each of its batches: that worker claims a whole batch or nothing. They start,
 * stop and drain together. The first blocks the jobs of batches by their name, which collects them in the store.
 */
export class BatchingWorker extends JobWorker {
  readonly #driver: Driver;
  readonly #options: BatchingWorkerOptions;
  readonly #workers: Map<Batch, JobWorker>;
  #drains = 0;
  #stops = 0;

  constructor(driver: Driver, { queue, ...options }: BatchingWorkerOptions) {
    const { batches } = options;
    const workers = new Map<Batch, JobWorker>();
    const isBatched = (name: string): boolean => {
      const batch = batches.get(name);
      if (batch) workers.get(batch)?.wake();
      return batch !== undefined;
    };
    const single: WorkerQueue = {
      ...queue,
      names: () => (queue.names?.() ?? []).filter((name) => !batches.has(name)),
      get isBatched() {
        return batches.size > 0 ? isBatched : undefined;
      },
    };
    super(driver, { ...options, queues: [single] });
    this.#driver = driver;
    this.#options = { ...options, queue };
    this.#workers = workers;
  }

  /** Starts the worker of a batch that was added, or stops that of a removed one, if this worker runs. */
  changed(): void {
    if (this.status !== "running" || this.#drains > 0) return;
    for (const worker of this.#team()) void worker.start().catch((error) => this.#options.events.fault(error));
    this.wake();
  }

  override start(): Promise<void> {
    return all([super.start(), ...this.#team().map((worker) => worker.start())]);
  }

  override stop(options?: StopOptions): Promise<void> {
    this.#stops++;
    const stopped = super.stop(options);
    const others = all([...this.#workers.values()].map((worker) => worker.stop(options)));
    // A handler of this worker need not await the refusal, which would be a rejection without a handler otherwise.
    others.catch(() => {});
    return this.hasScope() ? stopped : all([stopped, others]);
  }

  /** As the `drain` of a worker. Batches do not wait for more jobs meanwhile. */
  override drain(): Promise<void> {
    return this.hasScope() ? super.drain() : this.#drainAll();
  }

  async #drainAll(): Promise<void> {
    const stops = this.#stops;
    let before: number;
    this.#drains++;
    try {
      do {
        before = this.#calls;
        await super.drain();
        await all(this.#team().map((worker) => worker.drain()));
        // Jobs of a batch may have added single jobs, or be due again.
      } while (before < this.#calls && stops === this.#stops);
    } finally {
      // A batch that was added meanwhile has no running worker.
      if (--this.#drains === 0 && this.#options.batches.size > 0) this.changed();
    }
  }

  override get unused(): boolean {
    return super.unused && this.#drains === 0 && [...this.#workers.values()].every((worker) => worker.unused);
  }

  override hasScope(): boolean {
    return super.hasScope() || [...this.#workers.values()].some((worker) => worker.hasScope());
  }

  get #calls(): number {
    return [...this.#workers.keys()].reduce((sum, { calls }) => sum + calls, 0);
  }

  /** Returns the workers of the present batches. Stops those of batches that were removed. */
  #team(): readonly JobWorker[] {
    const { batches } = this.#options;
    const present = new Set(batches.values());
    for (const [batch, worker] of this.#workers)
      if (!present.has(batch)) void worker.stop().catch((error) => this.#options.events.fault(error));
    return [...batches].map(([name, batch]) => {
      const worker = this.#workers.get(batch) ?? this.#makeWorker(name, batch);
      this.#workers.set(batch, worker);
      return worker;
    });
  }

  #makeWorker(name: string, batch: Batch): JobWorker {
    const { queue, slots, ...options } = this.#options;
    const { size, waitMs } = batch;
    const batched: WorkerQueue = {
      ...queue,
      names: () => [name],
      batch: () => ({ size, waitMs: this.#drains > 0 ? 0 : waitMs }),
      run: (job, ctx) => batch.start(job.id, () => queue.run(job, ctx)),
    };
    return new JobWorker(this.#driver, {
      ...options,
      prefetch: 0,
      maxJobs: undefined,
      slots: new BatchSlots(slots, size),
      queues: [batched],
    });
  }
}

const all = async (calls: readonly Promise<void>[]): Promise<void> => void (await Promise.all(calls));

/** Slots for one batch at a time, which takes one slot of the queue's worker for all of its jobs. */
class BatchSlots extends Slots {
  readonly #slots: Slots;
  readonly #batch: number;
  #taken = 0;

  constructor(slots: Slots, size: number) {
    super(size);
    this.#slots = slots;
    this.#batch = size;
  }

  override join(member: SlotMember): void {
    this.#slots.join(member);
  }

  override leave(member: SlotMember): void {
    this.#slots.leave(member);
  }

  override freeFor(member: SlotMember): number {
    return this.#taken === 0 && this.#slots.freeFor(member) > 0 ? this.#batch : 0;
  }

  override take(member: SlotMember, wanted: number): number {
    const taken = Math.min(wanted, this.freeFor(member));
    if (taken > 0) this.#slots.take(member, 1);
    this.#taken += taken;
    return taken;
  }

  override give(count: number): void {
    if (count === 0) return;
    this.#taken -= count;
    if (this.#taken === 0) this.#slots.give(1);
  }

  override wait(member: SlotMember): void {
    if (this.#taken === 0) this.#slots.wait(member);
  }
}
