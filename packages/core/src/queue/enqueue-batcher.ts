import type { Driver } from "../engine/driver.ts";
import type { EnqueueReceipt } from "../engine/verbs.ts";
import { hasCode, QuaysideError } from "../job/errors.ts";
import type { NewJob } from "../job/new-job.ts";

/** Jobs in one call of a driver, at most, unless one `addJobs` brings more: what the HTTP API takes at once. */
const BATCH = 1_000;
/** Microtask turns that adds of one turn of the event loop have to gather: schemas may answer asynchronously. */
const GATHER_TURNS = 2;

/** Who adds several jobs gets their receipts, who adds one its id. Thousands wait at a time: no closures, no arrays of one. */
interface Caller {
  readonly jobs: NewJob | readonly NewJob[];
  readonly resolve: (answer: never) => void;
  readonly reject: (error: unknown) => void;
}

const sizeOf = ({ jobs }: Caller): number => (isList(jobs) ? jobs.length : 1);
const isList = (jobs: NewJob | readonly NewJob[]): jobs is readonly NewJob[] => Array.isArray(jobs);

/**
 * Group commit: adds made in the same turn share one transaction, each caller awaiting its own receipts. What one
 * caller adds stays together; a refusal that is about a job of one caller is that caller's alone, and where a call was stored
 * in part each caller gets what became of its own jobs.
 */
export class EnqueueBatcher {
  static readonly #byDriver = new WeakMap<Driver, EnqueueBatcher>();
  readonly #driver: Driver;
  #callers: Caller[] = [];

  /** The batcher of a driver, shared by all queues on it. */
  static of(driver: Driver): EnqueueBatcher {
    let batcher = EnqueueBatcher.#byDriver.get(driver);
    if (!batcher) {
      batcher = new EnqueueBatcher(driver);
      EnqueueBatcher.#byDriver.set(driver, batcher);
    }
    return batcher;
  }

  private constructor(driver: Driver) {
    this.#driver = driver;
  }

  /** Resolves with one receipt a job when they are durable. */
  add(jobs: readonly NewJob[]): Promise<readonly EnqueueReceipt[]> {
    return new Promise((resolve, reject) => {
      this.#call({ jobs, resolve, reject });
    });
  }

  /** Resolves with the id of the job when it is durable. */
  addOne(job: NewJob): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#call({ jobs: job, resolve, reject });
    });
  }

  #call(caller: Caller): void {
    this.#callers.push(caller);
    if (this.#callers.length === 1) void this.#flush();
  }

  async #flush(): Promise<void> {
    for (let turn = 0; turn < GATHER_TURNS; turn++) await undefined;
    const callers = this.#callers;
    this.#callers = [];
    for (const batch of batches(callers)) void this.#send(batch);
  }

  async #send(callers: readonly Caller[]): Promise<void> {
    try {
      const receipts = await this.#driver.enqueue(callers.flatMap(({ jobs }) => jobs));
      let from = 0;
      for (const caller of callers) {
        const to = from + sizeOf(caller);
        caller.resolve((isList(caller.jobs) ? receipts.slice(from, to) : idOf(receipts[from])) as never);
        from = to;
      }
    } catch (error) {
      if (callers.length > 1 && isDivisible(error)) for (const caller of callers) void this.#send([caller]);
      else for (const { reject } of callers) reject(error);
    }
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
