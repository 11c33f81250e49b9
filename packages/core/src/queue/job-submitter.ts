import type { Driver } from "../engine/driver.ts";
import type { EnqueueReceipt } from "../engine/verbs.ts";
import { isA, QuaysideError, refused } from "../job/errors.ts";
import type { JobRequest, PublishRequest } from "../job/handler.ts";
import type { JobRecord } from "../job/job-record.ts";
import type { NewJob } from "../job/new-job.ts";
import { fields, list } from "../job/option-checks.ts";
import { type JobDraft, type PrepareSettings, prepareJob, resolveJob } from "../job/prepare-job.ts";
import type { Producer } from "../worker/options-and-events.ts";
import { EnqueueBatcher, idOf } from "./enqueue-batcher.ts";
import { missingKey } from "./job-runner.ts";
import type { QueueContext } from "./queue-context.ts";

/** Adds jobs to the queues of one driver: prepares them, and hands them to the driver in batches. */
export class JobSubmitter implements Producer {
  /** @internal */
  protected readonly context: QueueContext;
  /** @internal */
  protected readonly driver: Driver;

  constructor(context: QueueContext, driver: Driver) {
    this.context = context;
    this.driver = driver;
  }

  /** Adds one job; resolves with its id. Throws at once what preparing it throws. Most adds come here: it makes one promise only. */
  addOne(draft: JobDraft): Promise<string> {
    const { context, driver } = this;
    if (context.telemetry) return this.store([draft]).then(([receipt]) => idOf(receipt));
    const prepared = prepare(context, draft);
    const batcher = EnqueueBatcher.of(driver);
    return prepared instanceof Promise ? prepared.then((job) => batcher.addOne(job)) : batcher.addOne(prepared);
  }

  /** Adds jobs, all or none; resolves with their ids in the order of the drafts. */
  async add(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    return (await this.store(drafts)).map(idOf);
  }

  /** As `add`, in a transaction of their own: a flow. */
  async addTogether(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    return (await this.store(drafts, true)).map(idOf);
  }

  async enqueue(request: JobRequest, from: JobRecord): Promise<string> {
    return this.addOne(this.#draft(request, from));
  }

  async publish(job: PublishRequest, from: JobRecord): Promise<readonly string[]> {
    const { queues, ...request } = fields(job, "job");
    return this.add(list(queues, "queues").map((queue) => this.#draft({ ...request, queue }, from)));
  }

  /** Stores jobs. Adds of the same turn share one transaction; `alone` asks for one of its own. */
  protected async store(drafts: readonly JobDraft[], alone = false): Promise<readonly EnqueueReceipt[]> {
    const [first] = drafts;
    if (!first) return [];
    const { context, driver } = this;
    const prepared = prepareAll(context, drafts);
    const send = async (trace?: string) => {
      const ready = await Promise.all(prepared);
      const jobs = trace === undefined ? ready : ready.map((job) => ({ ...job, trace }));
      return alone ? driver.enqueue(jobs) : EnqueueBatcher.of(driver).add(jobs);
    };
    const span = { queue: first.queue, name: first.name, count: drafts.length };
    return context.telemetry ? context.telemetry.add(span, send) : send();
  }

  #draft(job: JobRequest, from: JobRecord): JobDraft {
    const { name, payload, queue, ...options } = fields(job, "job");
    const usual = this.context.registry.definition(name)?.queue;
    return { queue: queue ?? usual ?? from.queue, name, payload, options };
  }
}

/** Returns the job as its driver takes it. A promise only where its schema or encryption needs one. */
export function prepare(context: QueueContext, draft: JobDraft): NewJob | Promise<NewJob> {
  const { registry, encryption, defaultsOf } = context;
  const { queue, name, options } = draft;
  const definition = registry.definition(name, queue);
  const settings = settingsOf(context, queue);
  const encrypted = options?.encrypted ?? definition?.encrypted ?? defaultsOf(queue)?.encrypted;
  if (encrypted !== true) return prepareJob(draft, definition, settings);
  if (encryption) return Promise.resolve(prepareJob(draft, definition, settings)).then((job) => encryption.seal(job));
  resolveJob(draft, definition, settings);
  throw missingKey(`Job ${JSON.stringify(name)} is to be encrypted`);
}

/** As `prepare`, of a job that is not stored: neither checked by its schema nor encrypted. */
export function resolve(context: QueueContext, draft: JobDraft): NewJob {
  const { queue, name } = draft;
  return resolveJob(draft, context.registry.definition(name, queue), settingsOf(context, queue));
}

const settingsOf = ({ parsers, payloadLimit, clock, defaultsOf }: QueueContext, queue: string): PrepareSettings => ({
  parsers,
  payloadLimit,
  defaults: defaultsOf(queue),
  now: clock.now(),
});

/** Prepares all jobs. Where one throws at once, rejections of those before it are ignored: none of them is stored. */
export function prepareAll(context: QueueContext, drafts: readonly JobDraft[]): readonly (NewJob | Promise<NewJob>)[] {
  const prepared: (NewJob | Promise<NewJob>)[] = [];
  try {
    const read = (draft: JobDraft, tell: (error: unknown) => never) => {
      const job = prepare(context, draft);
      prepared.push(job instanceof Promise ? job.catch(tell) : job);
    };
    eachJob(drafts, read, ({ at }) => at);
  } catch (error) {
    for (const job of prepared) if (job instanceof Promise) job.catch(() => {});
    throw error;
  }
  return prepared;
}

/**
 * Returns what `read` returns for each job. An error names the job that it is about, also one passed to `tell` later.
 *
 * @param placeOf the path of a job, in place of its index.
 *
 * @throws {QuaysideError} `invalid_option` for a value that is no list, or holds a value that is no job.
 */
export function eachJob<Job extends object, T>(
  jobs: readonly Job[],
  read: (job: Job, tell: (error: unknown) => never) => T,
  placeOf: (job: Job) => string | undefined = () => undefined,
): T[] {
  if (!Array.isArray(jobs)) throw refused("jobs", "must be a list of jobs", jobs);
  return Array.from(jobs as readonly Job[], (job, index) => {
    const tell = (error: unknown): never => {
      const at = placeOf(job) ?? (jobs.length > 1 ? `jobs[${index}]` : "");
      if (at === "" || !isA(QuaysideError, error)) throw error;
      const { code, message, details } = error;
      throw new QuaysideError(code, `${at}: ${message}`, { ...details, at }, error);
    };
    try {
      if (typeof job !== "object" || job === null) throw refused("job", "must be an object with name and payload", job);
      return read(job, tell);
    } catch (error) {
      return tell(error);
    }
  });
}
