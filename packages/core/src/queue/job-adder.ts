import type { Driver } from "../driver/driver.ts";
import type { JobRequest, PublishRequest } from "../job/handler.ts";
import type { JobRecord } from "../job/record.ts";
import type { Emitter } from "../worker/emitter.ts";
import type { Producer } from "../worker/run-attempt.ts";
import type { WorkerEvents } from "../worker/worker-events.ts";
import { idOf } from "./enqueue-batcher.ts";
import { isInline, workInline } from "./inline.ts";
import type { JobDraft } from "./job-producer.ts";
import type { QueueHome } from "./queue-home.ts";
import { runHere } from "./run-here.ts";

export interface JobAdderOptions {
  readonly home: QueueHome;
  readonly driver: Driver;
  /** Told of jobs that run here instead of being stored. */
  readonly events: Emitter<WorkerEvents>;
  /** Works what was added, on an inline driver. */
  readonly drain: () => Promise<void>;
  /** What handlers of jobs that run here add with. Default: this. */
  readonly producer?: Producer;
}

/** Adds jobs to the queues of one driver; runs those here that are not to be queued. */
export class JobAdder implements Producer {
  readonly #options: JobAdderOptions;

  constructor(options: JobAdderOptions) {
    this.#options = options;
  }

  /** What is added most: one job, to be stored. Throws what `prepare` throws. */
  addOne(draft: JobDraft): Promise<string> {
    const { home, driver } = this.#options;
    const mayRunHere = home.registry.definition(draft.name, draft.queue)?.shouldQueue !== undefined || isInline(driver);
    return mayRunHere ? this.add([draft]).then(([id]) => id as string) : home.producer.addOne(driver, draft);
  }

  /** Ids in the order of the drafts. What is stored is stored first, in one transaction; then the rest runs, in order. */
  async add(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    const { home, driver } = this.#options;
    const ranHere = drafts.map(
      ({ name, queue, payload }) => home.registry.definition(name, queue)?.shouldQueue?.(payload) === false,
    );
    const stored = drafts.filter((_, index) => !ranHere[index]);
    const receipts = [...(await home.producer.add(driver, stored))];
    const ids: string[] = [];
    for (const [index, draft] of drafts.entries()) {
      ids.push(ranHere[index] ? await this.#runHere(draft) : idOf(receipts.shift()));
    }
    await this.#workInline();
    return ids;
  }

  /** In a transaction of their own, and none of them here: a flow. */
  async addTogether(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    const receipts = await this.#options.home.producer.add(this.#options.driver, drafts, { alone: true });
    await this.#workInline();
    return receipts.map(idOf);
  }

  async enqueue(request: JobRequest, from: JobRecord): Promise<string> {
    return this.addOne(this.#draft(request, from));
  }

  publish({ queues, ...request }: PublishRequest, from: JobRecord): Promise<readonly string[]> {
    return this.add(queues.map((queue) => this.#draft({ ...request, queue }, from)));
  }

  #draft({ name, payload, queue, ...options }: JobRequest, from: JobRecord): JobDraft {
    const usual = this.#options.home.registry.definition(name)?.queue;
    return { queue: queue ?? usual ?? from.queue, name, payload, options };
  }

  async #runHere(draft: JobDraft): Promise<string> {
    const { home, driver, events, producer = this } = this.#options;
    const job = home.producer.resolve(draft, home.registry.definition(draft.name, draft.queue));
    const { id, releasedMs } = await runHere(job, { home, events, producer });
    if (releasedMs === undefined) return id;
    const options = { ...draft.options, id, availableAt: undefined, delay: releasedMs };
    await home.producer.add(driver, [{ ...draft, options }]);
    return id;
  }

  #workInline(): Promise<void> {
    return workInline(this.#options.driver, this.#options.drain);
  }
}
