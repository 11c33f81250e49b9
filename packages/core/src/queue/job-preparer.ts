import type { Clock } from "../engine/clock.ts";
import type { Driver } from "../engine/driver.ts";
import type { EnqueueReceipt } from "../engine/verbs.ts";
import { isA, QuaysideError, refused } from "../job/errors.ts";
import type { JobDefaults, OptionParsers } from "../job/job-options.ts";
import type { NewJob } from "../job/new-job.ts";
import { type JobDraft, type PrepareSettings, prepareJob, resolveJob } from "../job/prepare-job.ts";
import type { Encryption } from "./encryption.ts";
import { EnqueueBatcher, idOf } from "./enqueue-batcher.ts";
import type { JobRegistry } from "./job-registry.ts";
import { missingKey } from "./missing-encryption-key.ts";
import type { Telemetry } from "./telemetry.ts";

export interface JobPreparerOptions {
  readonly registry: JobRegistry;
  readonly clock: Clock;
  /** The job options that there are. */
  readonly parsers: OptionParsers;
  /** Largest payload in bytes of JSON. */
  readonly payloadLimit: number;
  readonly encryption: Encryption | undefined;
  readonly telemetry: Telemetry | undefined;
  /** Options of all jobs of a queue, unless definition or job says otherwise. */
  readonly defaultsOf: (queue: string) => JobDefaults | undefined;
}

/**
 * Returns what `read` returns for each job. An error names the job that it is about, also one passed to `tell` later.
 *
 * @param placeOf where a job stands, in place of its index.
 *
 * @throws {QuaysideError} `invalid_option` for what is no list, or holds what is no job.
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

/** Checks, resolves and encrypts jobs, and hands them to their driver. */
export class JobPreparer {
  readonly #options: JobPreparerOptions;

  constructor(options: JobPreparerOptions) {
    this.#options = options;
  }

  /** One receipt a job. Adds of the same turn share one transaction; `alone` asks for one of its own. */
  async add(
    driver: Driver,
    drafts: readonly JobDraft[],
    { alone = false }: { readonly alone?: boolean } = {},
  ): Promise<readonly EnqueueReceipt[]> {
    const [first] = drafts;
    if (!first) return [];
    const prepared = this.#prepareAll(drafts);
    const span = { queue: first.queue, name: first.name, count: drafts.length };
    const { telemetry } = this.#options;
    const send = async (trace?: string) => {
      const ready = await Promise.all(prepared);
      const jobs = trace === undefined ? ready : ready.map((job) => ({ ...job, trace }));
      return alone ? driver.enqueue(jobs) : EnqueueBatcher.of(driver).add(jobs);
    };
    return telemetry ? telemetry.add(span, send) : send();
  }

  /** As `add`, of one job: its id. Plain adds, the many, make no promise but the one they answer. */
  addOne(driver: Driver, draft: JobDraft): Promise<string> {
    if (this.#options.telemetry) return this.add(driver, [draft]).then(([receipt]) => idOf(receipt));
    const prepared = this.prepare(draft);
    const batcher = EnqueueBatcher.of(driver);
    return prepared instanceof Promise ? prepared.then((job) => batcher.addOne(job)) : batcher.addOne(prepared);
  }

  /** Returns the job as its driver takes it. A promise only where its schema or encryption needs one. */
  prepare(draft: JobDraft): NewJob | Promise<NewJob> {
    const { queue, name, options } = draft;
    const { registry, encryption, defaultsOf } = this.#options;
    const definition = registry.definition(name, queue);
    const settings = this.#settings(queue);
    const encrypted = options?.encrypted ?? definition?.encrypted ?? defaultsOf(queue)?.encrypted;
    if (encrypted !== true) return prepareJob(draft, definition, settings);
    if (encryption) return Promise.resolve(prepareJob(draft, definition, settings)).then((job) => encryption.seal(job));
    resolveJob(draft, definition, settings);
    throw missingKey(`Job ${JSON.stringify(name)} is to be encrypted`);
  }

  /** As `prepare`, of a job that is not stored: neither checked by its schema nor encrypted. */
  resolve(draft: JobDraft): NewJob {
    return resolveJob(draft, this.#options.registry.definition(draft.name, draft.queue), this.#settings(draft.queue));
  }

  #settings(queue: string): PrepareSettings {
    const { parsers, payloadLimit, clock, defaultsOf } = this.#options;
    return { parsers, payloadLimit, defaults: defaultsOf(queue), now: clock.now() };
  }

  /** @throws what adding these would throw before anything is stored. */
  async check(drafts: readonly JobDraft[]): Promise<void> {
    await Promise.all(this.#prepareAll(drafts));
  }

  /** All or none: where one throws at once, what becomes of those before it is of no concern. */
  #prepareAll(drafts: readonly JobDraft[]): readonly (NewJob | Promise<NewJob>)[] {
    const prepared: (NewJob | Promise<NewJob>)[] = [];
    try {
      const read = (draft: JobDraft, tell: (error: unknown) => never) => {
        const job = this.prepare(draft);
        prepared.push(job instanceof Promise ? job.catch(tell) : job);
      };
      eachJob(drafts, read, ({ at }) => at);
    } catch (error) {
      for (const job of prepared) if (job instanceof Promise) job.catch(() => {});
      throw error;
    }
    return prepared;
  }
}
