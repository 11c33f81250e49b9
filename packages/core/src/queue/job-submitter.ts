import type { Driver } from "../engine/driver.ts";
import type { Emitter } from "../job/emitter.ts";
import type { JobRequest, PublishRequest } from "../job/handler.ts";
import type { JobRecord } from "../job/job-record.ts";
import type { NewJob } from "../job/new-job.ts";
import { fields, list } from "../job/option-checks.ts";
import type { JobDraft } from "../job/prepare-job.ts";
import type { Producer, WorkerEvents } from "../worker/options-and-events.ts";
import { idOf } from "./enqueue-batcher.ts";
import { inlineOf } from "./inline-runner.ts";
import type { QueueContext } from "./queue-context.ts";
import { runImmediately } from "./run-immediately.ts";

export interface JobSubmitterOptions {
  readonly context: QueueContext;
  readonly driver: Driver;
  /** Told of jobs that run here instead of being stored. */
  readonly events: Emitter<WorkerEvents>;
  /** The `ctx` that its worker gives to handlers. Default: the home's. */
  readonly ctx?: () => object | undefined;
  /** Works what was added, on an inline driver. */
  readonly drain: () => Promise<void>;
  /** What handlers of jobs that run here add with. Default: this. */
  readonly producer?: Producer;
}

/** The ids of jobs that run here, or did lately and did not fail. */
const ranHere = new WeakMap<Driver, Set<string>>();
const REMEMBERED = 1_000;

/** Adds jobs to the queues of one driver; runs those here that are not to be queued. */
export class JobSubmitter implements Producer {
  readonly #options: JobSubmitterOptions;

  constructor(options: JobSubmitterOptions) {
    this.#options = options;
  }

  /** What is added most: one job, to be stored. Throws what `prepare` throws. */
  addOne(draft: JobDraft): Promise<string> {
    const { context, driver } = this.#options;
    const mayRunHere = this.#shouldQueue(draft) || inlineOf(driver);
    return mayRunHere ? this.add([draft]).then(([id]) => id as string) : context.producer.addOne(driver, draft);
  }

  /** Ids in the order of the drafts. */
  async add(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    // The many are not to wait for a plan.
    if (!drafts.some((draft) => this.#shouldQueue(draft))) return this.#store(drafts);
    const store = await this.plan(drafts);
    return (await store())();
  }

  /**
   * Adds in three steps, for who adds with others, too. First all drafts are checked. What this returns stores what is to
   * be stored, in one transaction. What that returns runs the rest here, in order, to the last one: then the first error
   * of those that failed is thrown.
   */
  async plan(drafts: readonly JobDraft[]): Promise<() => Promise<() => Promise<readonly string[]>>> {
    const { context, driver } = this.#options;
    const here = new Set(drafts.filter((draft) => this.#shouldQueue(draft)?.(draft.payload) === false));
    // What is not stored is not sealed either.
    const unsealed = (draft: JobDraft) => ({ ...draft, options: { ...draft.options, encrypted: false } });
    await context.producer.check(drafts.map((draft) => (here.has(draft) ? unsealed(draft) : draft)));
    return async () => {
      const stored = drafts.filter((draft) => !here.has(draft));
      const receipts = [...(await context.producer.add(driver, stored))];
      return async () => {
        const errors: unknown[] = [];
        const ids: string[] = [];
        for (const draft of drafts)
          try {
            ids.push(here.has(draft) ? await this.#runHere(draft) : idOf(receipts.shift()));
          } catch (error) {
            errors.push(error);
          }
        await this.#workInline(drafts);
        if (errors.length > 0) throw errors[0];
        return ids;
      };
    };
  }

  /** In a transaction of their own, and none of them here: a flow. */
  addTogether(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    return this.#store(drafts, { alone: true });
  }

  async #store(drafts: readonly JobDraft[], options?: { readonly alone: boolean }): Promise<readonly string[]> {
    const receipts = await this.#options.context.producer.add(this.#options.driver, drafts, options);
    await this.#workInline(drafts);
    return receipts.map(idOf);
  }

  async enqueue(request: JobRequest, from: JobRecord): Promise<string> {
    return this.addOne(this.#draft(request, from));
  }

  async publish(job: PublishRequest, from: JobRecord): Promise<readonly string[]> {
    const { queues, ...request } = fields(job, "job");
    return this.add(list(queues, "queues").map((queue) => this.#draft({ ...request, queue }, from)));
  }

  #shouldQueue({ name, queue }: JobDraft): ((payload: unknown) => boolean) | undefined {
    const definition = this.#options.context.registry.definition(name, queue);
    return definition?.shouldQueue?.bind(definition);
  }

  #draft(job: JobRequest, from: JobRecord): JobDraft {
    const { name, payload, queue, ...options } = fields(job, "job");
    const usual = this.#options.context.registry.definition(name)?.queue;
    return { queue: queue ?? usual ?? from.queue, name, payload, options };
  }

  /** As one that is stored, a job of an id that its adder gave runs once. */
  async #runHere(draft: JobDraft): Promise<string> {
    const { context, driver } = this.#options;
    const job = context.producer.resolve(draft);
    const { queue, id } = job;
    if (id === undefined) return this.#run(draft, job);
    const known = ranHere.get(driver) ?? new Set();
    ranHere.set(driver, known);
    const key = JSON.stringify([queue, id]);
    if (known.has(key)) return id;
    known.add(key);
    try {
      if (!(await driver.get(queue, id))) await this.#run(draft, job);
      for (const oldest of known) if (known.size > REMEMBERED) known.delete(oldest);
    } catch (error) {
      known.delete(key);
      throw error;
    }
    return id;
  }

  async #run(draft: JobDraft, job: NewJob): Promise<string> {
    const { context, driver, events, ctx, producer = this } = this.#options;
    const { id, releasedMs } = await runImmediately(job, { context, events, producer, ctx: ctx?.() ?? context.ctx });
    if (releasedMs === undefined) return id;
    const options = { ...draft.options, id, availableAt: undefined, delay: releasedMs };
    await context.producer.add(driver, [{ ...draft, options }]);
    return id;
  }

  async #workInline(drafts: readonly JobDraft[]): Promise<void> {
    const { driver, drain, context } = this.#options;
    const work = inlineOf(driver);
    if (work && drafts.some(({ queue }) => context.registry.names(queue).length > 0)) await work(drain);
  }
}
