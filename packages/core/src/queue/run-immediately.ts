import { Attempt, type Settled } from "../attempt/attempt.ts";
import type { Producer } from "../attempt/handler-context.ts";
import { Reporter, type WorkerEvents } from "../attempt/worker-events.ts";
import { systemClock } from "../engine/clock.ts";
import type { Driver } from "../engine/driver.ts";
import * as DEFAULTS from "../job/defaults.ts";
import type { Emitter } from "../job/emitter.ts";
import { handlerScope } from "../job/handler-scope.ts";
import type { JobRecord } from "../job/job-record.ts";
import type { NewJob } from "../job/new-job.ts";
import type { JobDraft } from "../job/prepare-job.ts";
import { producerOf, reportFailed, runJob } from "./job-runner.ts";
import { idOf, JobSubmitter, prepareAll, resolve } from "./job-submitter.ts";
import type { QueueContext } from "./queue-context.ts";

/** Works jobs that were added to an inline driver, by calling `drain`, before their add resolves. */
export type WorkInline = (drain: () => Promise<void>) => Promise<void>;

const inlineDrivers = new WeakMap<Driver, WorkInline>();

/** Marks a driver as inline: a job added through a queue that has a handler runs before the add resolves. */
export function setInline(driver: Driver, work: WorkInline): void {
  inlineDrivers.set(driver, work);
}

export interface ImmediateOptions {
  readonly context: QueueContext;
  readonly driver: Driver;
  /** Receives the events of jobs that run immediately. */
  readonly events: Emitter<WorkerEvents>;
  /** Returns the `ctx` that handlers of the queue's worker get. Default: the `ctx` of the queue's context. */
  readonly ctx?: (() => object | undefined) | undefined;
  /** Works the queue's due jobs, on an inline driver. */
  readonly drain: () => Promise<void>;
  /** Adds jobs for the handlers of jobs that run immediately. Default: this submitter. */
  readonly producer?: Producer | undefined;
}

/** By driver, the ids of jobs that run immediately now, or have lately run without failing. */
const ranHere = new WeakMap<Driver, Set<string>>();
const REMEMBERED = 1_000;

/**
 * Adds the jobs of a queue. Runs jobs immediately whose definition says so (`shouldQueue`), and works the jobs added to
 * an inline driver.
 */
export class ImmediateSubmitter extends JobSubmitter {
  readonly #options: ImmediateOptions;

  constructor(options: ImmediateOptions) {
    super(options.context, options.driver);
    this.#options = options;
  }

  override addOne(draft: JobDraft): Promise<string> {
    const mayRunHere = this.#shouldQueue(draft) || inlineDrivers.has(this.driver);
    return mayRunHere ? this.add([draft]).then(([id]) => id as string) : super.addOne(draft);
  }

  override async add(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    // Most adds have no job that runs immediately.
    if (!drafts.some((draft) => this.#shouldQueue(draft))) return this.#working(drafts, super.add(drafts));
    const store = await this.plan(drafts);
    return (await store())();
  }

  /** Stores all of these jobs. Does not call `shouldQueue`. */
  override addTogether(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    return this.#working(drafts, super.addTogether(drafts));
  }

  /**
   * Adds jobs in three steps, for a manager with several drivers. First checks all drafts. The returned function stores
   * the jobs in one transaction. The function that it returns runs the immediate jobs in order; all run, then the first
   * error is thrown.
   */
  async plan(drafts: readonly JobDraft[]): Promise<() => Promise<() => Promise<readonly string[]>>> {
    const here = new Set(drafts.filter((draft) => this.#shouldQueue(draft)?.(draft.payload) === false));
    // A job that is not stored is not encrypted.
    const unsealed = (draft: JobDraft) => ({ ...draft, options: { ...draft.options, encrypted: false } });
    await Promise.all(
      prepareAll(
        this.context,
        drafts.map((draft) => (here.has(draft) ? unsealed(draft) : draft)),
      ),
    );
    return async () => {
      const receipts = [...(await this.store(drafts.filter((draft) => !here.has(draft))))];
      return async () => {
        const errors: unknown[] = [];
        const ids: string[] = [];
        for (const draft of drafts)
          try {
            ids.push(here.has(draft) ? await this.#runHere(draft) : idOf(receipts.shift()));
          } catch (error) {
            errors.push(error);
          }
        await this.#working(drafts, undefined);
        if (errors.length > 0) throw errors[0];
        return ids;
      };
    };
  }

  #shouldQueue({ name, queue }: JobDraft): ((payload: unknown) => boolean) | undefined {
    const definition = this.context.registry.definition(name, queue);
    return definition?.shouldQueue?.bind(definition);
  }

  /** Runs a job immediately. A job with an id runs once, as in a store. */
  async #runHere(draft: JobDraft): Promise<string> {
    const { driver } = this;
    const job = resolve(this.context, draft);
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

  /**
   * Runs a job once, as a worker would: with middleware, timeout, events and `onFailed`. Stores the job if its handler
   * releases it. Returns the job's id.
   *
   * @throws the error of the attempt.
   */
  async #run(draft: JobDraft, job: NewJob): Promise<string> {
    const { context, events, ctx, producer = producerOf(context, this) } = this.#options;
    const { clock = systemClock, random = Math.random, metrics } = context;
    const record = recordOf(job, clock.now());
    const { id } = record;
    let onFailed: Promise<void> | undefined;
    const reporter = new Reporter({
      events,
      metricsOf: () => metrics,
      onFailed: (failed, error) => {
        onFailed = reportFailed(context, failed, error);
      },
    });
    events.emit("active", { job: record });
    const settled = await new Promise<Settled>((resolve) => {
      const listener = { settled: resolve, returned() {}, reported() {} };
      const options = { clock, random, events, ctx: ctx?.() ?? context.ctx, producer };
      // Where a handler adds it, that handler waits for it.
      new Attempt({ token: "here", job: record }, {}, listener, options).start(
        (stored, own) => runJob(context, stored, own),
        handlerScope.current(),
      );
    });
    reporter.settled(settled);
    await onFailed;
    const { settlement, end } = settled;
    if (settlement.outcome === "released") {
      const options = { ...draft.options, id, availableAt: undefined, delay: settlement.delayMs };
      await this.store([{ ...draft, options }]);
    } else if ("error" in end) throw end.error;
    return id;
  }

  /**
   * Waits for `added` (the add of these drafts), then works the jobs if the driver is inline and they have a handler.
   */
  async #working<T>(drafts: readonly JobDraft[], added: Promise<T> | T): Promise<T> {
    const answer = await added;
    const work = inlineDrivers.get(this.driver);
    if (work && drafts.some(({ queue }) => this.context.registry.names(queue).length > 0))
      await work(this.#options.drain);
    return answer;
  }
}

/** Returns the record of a job as if a worker had claimed it. */
function recordOf(job: NewJob, now: number): JobRecord {
  const { id = randomId(), queue, name, priority = 0, tags = [], timeoutMs } = job;
  return {
    id,
    queue,
    name,
    payload: JSON.parse(job.payload),
    state: "active",
    priority,
    addedAt: now,
    availableAt: now,
    startedAt: now,
    attempts: 1,
    maxAttempts: 1,
    interruptions: 0,
    exceptions: 0,
    tags,
    logs: [],
    backoff: DEFAULTS.backoff,
    ...(timeoutMs !== undefined && { timeoutMs }),
  };
}

/** Returns a random id. Replaces `crypto.randomUUID`, which is missing outside secure contexts. */
const randomId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
