import type { Driver } from "../engine/driver.ts";
import type { EnqueueReceipt } from "../engine/verbs.ts";
import { hasCode, isA, QuaysideError, refused } from "../job/errors.ts";
import type { NewJob } from "../job/new-job.ts";
import { type JobDraft, type PrepareSettings, prepareJob, resolveJob } from "../job/prepare-job.ts";
import type { QueueContext } from "./queue-context.ts";
import { missingKey } from "./sealed-jobs.ts";

/** Adds jobs to the queues of one driver: prepares them, and hands them to the driver in batches. */
export class JobSubmitter {
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
    return prepared instanceof Promise ? prepared.then((job) => enqueue(driver, job)) : enqueue(driver, prepared);
  }

  /** Adds jobs, all or none; resolves with their ids in the order of the drafts. */
  async add(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    return (await this.store(drafts)).map(idOf);
  }

  /** As `add`, in a transaction of their own: a flow. */
  async addTogether(drafts: readonly JobDraft[]): Promise<readonly string[]> {
    return (await this.store(drafts, true)).map(idOf);
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
      return alone ? driver.enqueue(jobs) : enqueue(driver, jobs);
    };
    const span = { queue: first.queue, name: first.name, count: drafts.length };
    return context.telemetry ? context.telemetry.add(span, send) : send();
  }
}

/** Returns the job as its driver takes it. A promise only where its schema or encryption needs one. */
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

/** As `prepare`, of a job that is not stored: neither checked by its schema nor encrypted. */
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

/** Jobs in one call of a driver, at most, unless one `addJobs` brings more: what the HTTP API takes at once. */
const BATCH = 1_000;
/** Microtask turns that adds of one turn of the event loop have to gather: schemas may answer asynchronously. */
const GATHER_TURNS = 2;

/** A call of `enqueue`. Thousands wait at a time: no closures, no arrays of one. */
interface Caller {
  readonly jobs: NewJob | readonly NewJob[];
  readonly resolve: (answer: never) => void;
  readonly reject: (error: unknown) => void;
}

const sizeOf = ({ jobs }: Caller): number => (isList(jobs) ? jobs.length : 1);
const isList = (jobs: NewJob | readonly NewJob[]): jobs is readonly NewJob[] => Array.isArray(jobs);

/** The adds of this turn, by driver: all queues on a driver share them. */
const gathering = new WeakMap<Driver, Caller[]>();

/**
 * Adds jobs; resolves when they are durable: for one job with its id, for a list with one receipt per job. Group commit:
 * adds made in the same turn share one transaction. The jobs of one caller stay together. A refusal that is about a job of
 * one caller rejects only that caller, and where a call was stored in part each caller gets the outcome of its own jobs.
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
 * Whether each caller may ask alone: the call was refused for a job and nothing was stored, or the driver noted which jobs
 * it stored (`details.stored`) and answers for the same jobs what became of them.
 */
const isDivisible = (error: unknown): boolean =>
  !!(error as Partial<QuaysideError> | undefined)?.details?.["stored"] ||
  hasCode(
    error,
    "invalid_option",
    "invalid_payload",
    "payload_too_large",
    "unknown_job",
    "conflict",
    "child_exists",
    "too_large",
    "bad_request",
  );

export function idOf(receipt: EnqueueReceipt | undefined): string {
  if (!receipt) throw new QuaysideError("internal", "The driver answered too few receipts.");
  return receipt.id;
}
