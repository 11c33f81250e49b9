import type { Clock } from "../engine/clock.ts";
import type { Driver } from "../engine/driver.ts";
import type { EnqueueReceipt } from "../engine/verbs.ts";
import { isA, QuaysideError, refused } from "../job/errors.ts";
import { checkName } from "../job/job-keys.ts";
import { type JobDefinition, jobDefaultsOf, validatePayload } from "../job/job-map.ts";
import { type JobDefaults, type JobOptions, type OptionParsers, resolveOptions } from "../job/job-options.ts";
import { toJsonText, utf8Bytes } from "../job/json.ts";
import type { FlowPart, NewJob } from "../job/new-job.ts";
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

/** A job on its way to a queue. */
export interface JobDraft {
  readonly queue: string;
  readonly name: string;
  readonly payload: unknown;
  readonly options?: JobOptions | undefined;
  readonly flow?: FlowPart;
  /** Path in its flow, for errors: `children[2]`; empty for the root. */
  readonly at?: string;
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

  /** Everything about a job before it reaches the driver. Synchronous as far as its schema and encryption allow. */
  prepare(draft: JobDraft): NewJob | Promise<NewJob> {
    const { queue, name, options, flow } = draft;
    const { registry, encryption } = this.#options;
    const definition = registry.definition(name, queue);
    const resolved = this.resolve(draft, definition);
    const job = flow ? { ...resolved, flow } : resolved;
    const encrypted =
      options?.encrypted ?? definition?.encrypted ?? this.#options.defaultsOf(queue)?.encrypted ?? false;
    if (encrypted && !encryption) throw missingKey(`Job ${JSON.stringify(name)} is to be encrypted`);
    // Checked as its handler will get it, and again before it runs: what a schema makes of it is the handler's.
    const checked = definition?.input && validatePayload(name, definition, JSON.parse(job.payload));
    if (encrypted && encryption) return Promise.resolve(checked).then(() => encryption.seal(job));
    return checked instanceof Promise ? checked.then(() => job) : job;
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

  /** Options resolved, payload as JSON text within its limit. */
  resolve({ queue, name, payload, options }: JobDraft, definition: JobDefinition | undefined): NewJob {
    checkName(name, "job name");
    checkName(queue, "queue name");
    const { clock, parsers } = this.#options;
    const defaults = this.#options.defaultsOf(queue);
    // A backoff that is a function is not stored; neither is the one farther away that it overrules.
    const layers = typeof definition?.backoff === "function" ? { ...defaults, backoff: undefined } : defaults;
    if (!layers && !definition && !options) return { queue, name, payload: this.text(name, payload) };
    const resolved = resolveOptions([layers, jobDefaultsOf(definition), options], clock.now(), parsers);
    return { queue, name, payload: this.text(name, payload), ...resolved };
  }

  /** @throws {QuaysideError} `invalid_payload`, `payload_too_large`. */
  text(name: string, payload: unknown): string {
    const limit = this.#options.payloadLimit;
    const text = toJsonText(payload, "payload");
    const bytes = utf8Bytes(text, limit);
    if (bytes <= limit) return text;
    throw new QuaysideError(
      "payload_too_large",
      `The payload of job ${JSON.stringify(name)} has ${bytes} bytes of JSON; at most ${limit} are allowed. Store large data elsewhere and pass its key.`,
      { job: name, bytes, limit },
    );
  }
}
