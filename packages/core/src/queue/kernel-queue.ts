import { checkDriver } from "../drivers/check-driver.ts";
import type { Driver } from "../engine/driver.ts";
import type { Command, CommandReply, JobCounts } from "../engine/verbs.ts";
import { refused } from "../job/errors.ts";
import type { Handler } from "../job/handler.ts";
import { checkName } from "../job/job-keys.ts";
import type { JobOptions } from "../job/job-options.ts";
import type { JobId } from "../job/job-record.ts";
import type {
  AddArguments,
  JobHandler,
  JobMap,
  JobName,
  JobOf,
  PayloadOf,
  UntypedJobs,
  WithPayload,
} from "../job/job-types.ts";
import { callable } from "../job/option-checks.ts";
import type { WorkPlace } from "../worker/worker-options.ts";
import { eachJob } from "./job-submitter.ts";
import { type QueueParts, setParts } from "./queue-context.ts";
import { readable } from "./sealed-jobs.ts";

/** A job for `addJobs`: name, payload and options in one object. */
export type JobToAdd<Jobs extends JobMap> = {
  [Name in JobName<Jobs>]: { readonly name: Name } & WithPayload<PayloadOf<Jobs, Name>> & JobOptions;
}[JobName<Jobs>];

/**
 * The queue methods that need no plugin: add and handle jobs, read, cancel and remove them, pause and resume. Base of
 * the `Queue` of `@quayside/core` and of `@quayside/core/mini`.
 */
export class KernelQueue<Jobs extends JobMap = UntypedJobs, Ctx extends object = object> {
  readonly name: string;
  readonly driver: Driver;
  readonly #parts: QueueParts;

  /**
   * Creates the queue. Use `new Queue`.
   *
   * @internal
   */
  protected constructor(name: string, driver: Driver, parts: QueueParts) {
    this.name = checkName(name, "queue name");
    this.driver = checkDriver(driver, `Queue ${JSON.stringify(name)}`);
    this.#parts = parts;
    setParts(this, parts);
  }

  /**
   * Adds a job. Resolves with its id when it is stored. Adds made in the same microtasks share one transaction.
   *
   * @throws {QuaysideError} `unknown_job`, `invalid_payload` (with `details.issues`),
   * `payload_too_large`, `invalid_option`, or an error of the driver: `storage_full`, `storage_unavailable`, `network` …
   */
  addJob<Name extends keyof Jobs & string>(
    name: Name,
    ...payload: AddArguments<PayloadOf<Jobs, Name>>
  ): Promise<JobId<Name>>;
  addJob(name: string, payload?: unknown, options?: JobOptions): Promise<string> {
    const { context, submitter } = this.#parts;
    // Not an asynchronous function, which would create one more promise and three more microtasks per add.
    try {
      context.registry.check(name);
      return submitter.addOne({ queue: this.name, name, payload, options });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Adds many jobs in one transaction, all or none. Resolves with their ids, in the order of `jobs`. Jobs that run
   * immediately (`shouldQueue`) run afterwards, one by one; all of them run, then the first error is thrown.
   */
  async addJobs(jobs: readonly JobToAdd<Jobs>[]): Promise<readonly JobId<JobName<Jobs>>[]> {
    const { context, submitter } = this.#parts;
    const drafts = eachJob(jobs, ({ name, payload, ...options }) => {
      context.registry.check(name);
      return { queue: this.name, name, payload, options };
    });
    return submitter.add(drafts);
  }

  /**
   * Registers a handler for the jobs of one name: event `"job:NAME"`. Several handlers of one name run in order: the
   * first that throws fails the attempt; the first handler's return value is the result. Returns a function that
   * removes the handler.
   */
  on<Name extends JobName<Jobs>>(event: `job:${Name}`, handler: JobHandler<Jobs, Name, Ctx>): () => void {
    if (typeof event !== "string" || !event.startsWith("job:")) throw refused("event", "must be job:NAME", event);
    callable(handler, "handler");
    const off = this.#parts.context.registry.addHandler(event.slice(4), handler as Handler, this.name);
    for (const worker of this.#parts.workers) worker.wake();
    return off;
  }

  /** Returns a job, or undefined if it does not exist or has ended and was not kept. */
  async get<Name extends JobName<Jobs> = JobName<Jobs>>(id: JobId<Name>): Promise<JobOf<Jobs, Name> | undefined> {
    const job = await this.driver.get(this.name, checkId(id));
    return job && (readable(this.#parts.context.encryption, job) as Promise<JobOf<Jobs, Name>>);
  }

  counts(): Promise<JobCounts> {
    return this.driver.counts(this.name);
  }

  /** Ends a waiting job as `cancelled`, or asks a running one to stop. `affected: 0` if it has already ended. */
  cancel(id: string): Promise<CommandReply> {
    return command(this, { type: "cancel", id });
  }

  /** Deletes a job in any state. A running job is asked to stop first. */
  remove(id: string): Promise<CommandReply> {
    return command(this, { type: "remove", id });
  }

  /** Stops all claims of this queue's jobs until `resume`. Running jobs continue. */
  async pause(): Promise<void> {
    await command(this, { type: "pause" });
  }

  async resume(): Promise<void> {
    await command(this, { type: "resume" });
  }

  /** The queue and its driver, for functions that check whether jobs are left, such as `drain`. */
  get places(): readonly WorkPlace[] {
    return [{ driver: this.driver, queues: [this.name] }];
  }
}

/** A queue with any job map, of either preset. */
export type SomeQueue = Pick<KernelQueue, "name" | "driver">;

/** A command without its field `queue`. */
type CommandOfQueue<C extends Command = Command> = C extends Command ? Omit<C, "queue"> : never;

/** Sends a command to the driver of a queue. */
export async function command({ driver, name }: SomeQueue, action: CommandOfQueue): Promise<CommandReply> {
  if ("id" in action) checkId(action.id);
  return driver.command({ ...action, queue: name } as Command);
}

/** Checks a job id and returns it. Throws `invalid_option` if no job can have it. */
export const checkId = (id: string): string => checkName(id, "id");
