import type { Driver } from "../engine/driver.ts";
import type { EnqueueReceipt } from "../engine/verbs.ts";
import { isA, isQuaysideError, QuaysideError, refused } from "../job/errors.ts";
import type { NewJob } from "../job/new-job.ts";
import { type JobDraft, type PrepareSettings, prepareJob, resolveJob } from "../job/prepare-job.ts";
import type { QueueContext } from "./queue-context.ts";
import { missingKey } from "./sealed-jobs.ts";

/** Adds jobs to the queues of one driver: prepares them and passes them to the driver in batches. */
export class JobSubmitter {
  /** @internal Settings and state shared by the queues of a manager. */
  protected readonly context: QueueContext;
  /** @internal The driver of the queues. */
  protected readonly driver: Driver;

  constructor(context: QueueContext, driver: Driver) {
    this.context = context;
    this.driver = driver;
  }

  /**
   * Adds one job. Resolves with its id. Throws synchronously if the job is invalid. Optimised to create one promise,
   * because most adds use it.
   */
  addOne(draft: JobDraft): Promise<string> {
    const { context, driver } = this;
    if (context.telemetry) return this.store([draft]).then(([receipt]) => idOf(receipt));
    const prepared = prepare(context, draft);
    return prepared instanceof Promise ? prepared.then((job) => enqueue(driver, job)) : enqueue(driver, prepared);
  }

  /** Adds jobs, all or none. Resolves with their ids, in the order of the drafts. */
  async add(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    return (await this.store(drafts)).map(idOf);
  }

  /**
   * Adds the jobs of a flow in a transaction of their own, all or none. Resolves with their ids, in the order of the
   * drafts.
   */
  async addTogether(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    return (await this.store(drafts, true)).map(idOf);
  }

  /** Stores jobs. Adds that are made in the same microtasks share one transaction, unless `alone` is true. */
  protected async store(drafts: readonly JobDraft[], alone = false): Promise<readonly EnqueueReceipt[]> {
    const [first] = drafts;
    if (!first) return [];
    const { context, driver } = this;
    const prepared = prepareAll(context, drafts);
    const send = async (trace?: string) => {
      const ready = await Promise.all(prepared);
      const jobs = trace === undefined ? ready : ready.map((job) => ({ ...job, trace }));
      return alone ? driver.enqueue(jobs) : enqueue(driver, jobs);
    };
    const span = { queue: first.queue, name: first.name, count: drafts.length };
    return context.telemetry ? context.telemetry.add(span, send) : send();
  }
}

/**
 * Converts a draft to the job that its driver takes, checked and encrypted. Returns a promise only if its schema or
 * encryption is asynchronous.
 */
export function prepare(context: QueueContext, draft: JobDraft): NewJob | Promise<NewJob> {
  const { registry, encryption, defaultsOf } = context;
  const { queue, name, options } = draft;
  const definition = registry.definition(name, queue);
  const settings = settingsOf(context, queue);
  const encrypted = options?.encrypted ?? definition?.encrypted ?? defaultsOf?.(queue)?.encrypted;
  if (encrypted !== true) return prepareJob(draft, definition, settings);
  if (encryption) return Promise.resolve(prepareJob(draft, definition, settings)).then((job) => encryption.seal(job));
  resolveJob(draft, definition, settings);
  throw missingKey(`Job ${JSON.stringify(name)} is to be encrypted`);
}

/** Converts a draft as `prepare` does, without its schema and encryption, for a job that is not stored. */
export function resolve(context: QueueContext, draft: JobDraft): NewJob {
  const { queue, name } = draft;
  return resolveJob(draft, context.registry.definition(name, queue), settingsOf(context, queue));
}

const settingsOf = ({ parsers, payloadLimit, clock, defaultsOf }: QueueContext, queue: string): PrepareSettings => ({
  parsers,
  payloadLimit,
  defaults: defaultsOf?.(queue),
  now: clock ? clock.now() : Date.now(),
});

/** Prepares all jobs. If preparing one throws, ignores rejections of earlier ones, because no job is stored. */
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
 * Calls `read` for each job and returns the results. Errors of `read`, also those that it passes to `tell` later, get
 * the path of their job.
 *
 * @param placeOf returns the path of a job for errors. Default: its index.
 * @throws {QuaysideError} `invalid_option` if `jobs` is not a list of objects.
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

/** Maximum number of jobs per call of a driver, unless one `addJobs` has more: the HTTP API's limit per request. */
const BATCH = 1_000;
/** Number of microtasks for which adds are collected, because schemas may be asynchronous. */
const GATHER_TURNS = 2;

/**
 * A pending add: its jobs, and how to settle its promise. Has no closures or arrays, because thousands may be pending.
 */
interface Caller {
  readonly jobs: NewJob | readonly NewJob[];
  readonly resolve: (answer: never) => void;
  readonly reject: (error: unknown) => void;
}

const sizeOf = ({ jobs }: Caller): number => (isList(jobs) ? jobs.length : 1);
const isList = (jobs: NewJob | readonly NewJob[]): jobs is readonly NewJob[] => Array.isArray(jobs);

/** By driver, the pending adds that will share the next transaction. All queues of a driver share it. */
const gathering = new WeakMap<Driver, Caller[]>();

/**
 * Adds jobs. Resolves when they are stored: for one job with its id, for a list with a receipt per job. Adds made at
 * the same time share one transaction; the jobs of one caller stay together. If a job is refused, only the promise of
 * the caller that added it rejects. If the jobs were stored in part, each caller gets the outcome of its own jobs.
 */
function enqueue(driver: Driver, jobs: NewJob): Promise<string>;
function enqueue(driver: Driver, jobs: readonly NewJob[]): Promise<readonly EnqueueReceipt[]>;
function enqueue(driver: Driver, jobs: NewJob | readonly NewJob[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const caller = { jobs, resolve, reject };
    const callers = gathering.get(driver);
    if (callers) callers.push(caller);
    else {
      gathering.set(driver, [caller]);
      void flush(driver);
    }
  });
}

async function flush(driver: Driver): Promise<void> {
  for (let turn = 0; turn < GATHER_TURNS; turn++) await undefined;
  const callers = gathering.get(driver) ?? [];
  gathering.delete(driver);
  for (const batch of batches(callers)) void send(driver, batch);
}

async function send(driver: Driver, callers: readonly Caller[]): Promise<void> {
  try {
    const receipts = await driver.enqueue(callers.flatMap(({ jobs }) => jobs));
    let from = 0;
    for (const caller of callers) {
      const to = from + sizeOf(caller);
      caller.resolve((isList(caller.jobs) ? receipts.slice(from, to) : idOf(receipts[from])) as never);
      from = to;
    }
  } catch (error) {
    if (callers.length > 1 && isDivisible(error)) for (const caller of callers) void send(driver, [caller]);
    else for (const { reject } of callers) reject(error);
  }
}

function batches(callers: readonly Caller[]): Caller[][] {
  const all: Caller[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const caller of callers) {
    if (size + sizeOf(caller) > BATCH) {
      all.push([]);
      size = 0;
    }
    all[all.length - 1]?.push(caller);
    size += sizeOf(caller);
  }
  return all;
}

/**
 * Returns whether each of the callers that shared a failed transaction may repeat its part alone: nothing was stored
 * because of one refused job, or the driver has recorded the stored jobs (`details.stored`) and returns their outcomes.
 */
const isDivisible = (error: unknown): boolean =>
  !!(error as Partial<QuaysideError> | undefined)?.details?.["stored"] ||
  isQuaysideError(
    error,
    "invalid_option",
    "invalid_payload",
    "payload_too_large",
    "unknown_job",
    "conflict",
    "child_exists",
    "too_large",
    "queue_full",
    "bad_request",
  );

export function idOf(receipt: EnqueueReceipt | undefined): string {
  if (!receipt) throw new QuaysideError("internal", "The driver answered too few receipts.");
  return receipt.id;
}
