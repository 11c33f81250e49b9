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

/** Runs `drain`, which works the jobs that were added, before their add resolves. */
export type WorkInline = (drain: () => Promise<void>) => Promise<void>;

const inlineDrivers = new WeakMap<Driver, WorkInline>();

/** Marks a driver: a job added to it through a queue that has a handler runs before the add resolves. */
export function setInline(driver: Driver, work: WorkInline): void {
  inlineDrivers.set(driver, work);
}

export interface ImmediateOptions {
  readonly context: QueueContext;
  readonly driver: Driver;
  /** Gets the events of jobs that run here instead of being stored. */
  readonly events: Emitter<WorkerEvents>;
  /** Returns the `ctx` that its worker gives to handlers. Default: the one of the context. */
  readonly ctx?: () => object | undefined;
  /** Works what was added, on an inline driver. */
  readonly drain: () => Promise<void>;
  /** Adds jobs for handlers of jobs that run here. Default: this submitter. */
  readonly producer?: Producer;
}

/** The ids of jobs that run here, or ran here lately and did not fail. */
const ranHere = new WeakMap<Driver, Set<string>>();
const REMEMBERED = 1_000;

/** Adds jobs. Runs those at once whose definition says so (`shouldQueue`), and works what it added to an inline driver. */
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
    // Most adds need no plan.
    if (!drafts.some((draft) => this.#shouldQueue(draft))) return this.#working(drafts, super.add(drafts));
    const store = await this.plan(drafts);
    return (await store())();
  }

  /** All of these jobs are stored, whatever `shouldQueue` says. */
  override addTogether(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    return this.#working(drafts, super.addTogether(drafts));
  }

  /**
   * Adds in three steps, for a manager that adds to several drivers. First all drafts are checked. The function returned
   * stores the jobs that are to be stored, in one transaction. The function that it returns runs the others here, in order,
   * to the last one: then the first error of those that failed is thrown.
   */
  async plan(drafts: readonly JobDraft[]): Promise<() => Promise<() => Promise<readonly string[]>>> {
    const here = new Set(drafts.filter((draft) => this.#shouldQueue(draft)?.(draft.payload) === false));
    // A job that is not stored is not encrypted either.
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

  /** Runs a job. As one that is stored, a job of an id that its adder gave runs once. */
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

  async #run(draft: JobDraft, job: NewJob): Promise<string> {
    const { context, events, ctx, producer = producerOf(context, this) } = this.#options;
    const { id, releasedMs } = await runImmediately(job, { context, events, producer, ctx: ctx?.() ?? context.ctx });
    if (releasedMs === undefined) return id;
    const options = { ...draft.options, id, availableAt: undefined, delay: releasedMs };
    await this.store([{ ...draft, options }]);
    return id;
  }

  /** Waits for `added`; on an inline driver then works these jobs, where there is a handler. */
  async #working<T>(drafts: readonly JobDraft[], added: Promise<T> | T): Promise<T> {
    const answer = await added;
    const work = inlineDrivers.get(this.driver);
    if (work && drafts.some(({ queue }) => this.context.registry.names(queue).length > 0))
      await work(this.#options.drain);
    return answer;
  }
}

interface RunHere {
  readonly context: QueueContext;
  readonly events: Emitter<WorkerEvents>;
  readonly producer: Producer;
  /** Merged into the handler's `ctx`. */
  readonly ctx: object | undefined;
}

/** How a job that ran here ended: done, or given back, to be stored after all. */
type RanHere = { readonly id: string; readonly releasedMs?: number };

/**
 * Runs a job that is not to be queued (`shouldQueue`), once, as a worker would: middleware, timeout, events and
 * `onFailed`. @throws what its attempt threw.
 */
export async function runImmediately(job: NewJob, { context, events, producer, ctx }: RunHere): Promise<RanHere> {
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
    const attempt = new Attempt(
      { token: "here", job: record },
      {},
      {
        settled: resolve,
        returned: () => {},
        reported: () => {},
      },
      { clock, random, events, ctx, producer },
    );
    // Where a handler adds it, that handler waits for it.
    attempt.start((stored, own) => runJob(context, stored, own), handlerScope.current());
  });
  reporter.settled(settled);
  await onFailed;
  const { settlement, end } = settled;
  if (settlement.outcome === "released") return { id, releasedMs: settlement.delayMs };
  if ("error" in end) throw end.error;
  return { id };
}

/** The job as a worker would have claimed it. */
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

/** Not `crypto.randomUUID`: a page that is no secure context lacks it. */
const randomId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
