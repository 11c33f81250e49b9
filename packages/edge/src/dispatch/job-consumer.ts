import { WorkerEntrypoint } from "cloudflare:workers";
import {
  defineJobs,
  type Handler,
  type JobDefinition,
  type JobHandler,
  type JobMap,
  type JobName,
  memoryDriver,
  Queue,
  type QueueOptions,
  type UntypedJobs,
} from "@quayside/core";
import { type WorkerQueue, workerQueueOf } from "@quayside/core/engine";
import { ConsumerAttempt } from "./consumer-attempt.ts";
import type { JobCall, JobOutcome } from "./job-call.ts";

/** Options of `jobConsumer`. */
export interface JobConsumerOptions<Jobs extends JobMap, Env>
  extends Pick<QueueOptions<Jobs, { readonly env: Env }>, "middleware" | "encryption"> {
  /** Handlers by job name. Each runs after the handler of the job's definition. */
  readonly handlers?:
    | {
        readonly [Name in JobName<Jobs>]?: JobHandler<Jobs, Name, { readonly env: Env }>;
      }
    | undefined;
  /** The job map from `defineJobs`. Payloads and results are checked by its schemas in the consumer. */
  readonly jobs?: Jobs | undefined;
}

/**
 * Creates the Worker entrypoint that runs the jobs which a queue's object dispatches, in the same Worker or another.
 * Each attempt has its own CPU time, memory and connections. The object claims, retries and settles the jobs.
 *
 * With `encryption` set here, the object needs no key. It then receives only the code and the retry delay of an
 * encrypted job's error, so `retryIf` and `backoff` cannot read the error's message or fields.
 *
 * @example
 * export class Consumer extends jobConsumer<typeof jobs, Env>({
 *   jobs,
 *   handlers: { email: async ({ to }, { env, signal }) => send(env.MAIL_KEY, to, signal) },
 * }) {}
 * export class MailQueue extends durableQueue<typeof jobs, Env>({ jobs, dispatch: (env) => env.CONSUMER }) {}
 */
export function jobConsumer<Jobs extends JobMap = UntypedJobs, Env = Cloudflare.Env>(
  options: JobConsumerOptions<Jobs, Env>,
): new (
  ctx: ExecutionContext,
  env: Env,
) => JobConsumerEntrypoint<Env> {
  let queue: WorkerQueue | undefined;
  return class extends JobConsumerEntrypoint<Env> {
    constructor(ctx: ExecutionContext, env: Env) {
      // Created with the first instance, because Workers forbid some operations while modules load.
      queue ??= workerQueue(options as unknown as JobConsumerOptions<JobMap, unknown>);
      super(ctx, env, queue);
    }
  };
}

/** The Worker entrypoint class from which `jobConsumer` derives. */
export class JobConsumerEntrypoint<Env = unknown> extends WorkerEntrypoint<Env> {
  readonly #queue: WorkerQueue;

  constructor(ctx: ExecutionContext, env: Env, queue: WorkerQueue) {
    super(ctx, env);
    this.#queue = queue;
  }

  /**
   * Runs one attempt for a queue's object. Parameter and result are typed `object`, because RPC cannot map the
   * recursive JSON type of `JobCall` and `JobOutcome`.
   */
  async runJob(call: object): Promise<object> {
    const { job } = call as JobCall;
    if (!this.#queue.names?.().includes(job.name)) return { outcome: "unknown" } satisfies JobOutcome;
    const attempt = new ConsumerAttempt(call as JobCall);
    return attempt.run((ctx) => this.#queue.run(job, { ...ctx, env: this.env } as typeof ctx));
  }
}

/** Creates the queue whose handlers run the jobs. No jobs are added to it. */
function workerQueue({ jobs = {}, handlers = {}, ...options }: JobConsumerOptions<JobMap, unknown>): WorkerQueue {
  const definitions: Record<string, JobDefinition> = { ...jobs };
  for (const [name, handler] of Object.entries(handlers as Record<string, Handler>)) {
    definitions[name] = withHandler(definitions[name] ?? {}, handler);
  }
  // Definition handlers run for jobs of any queue; handlers registered with `Queue.on` only for this queue's name.
  const queue = new Queue("consumer", memoryDriver(), {
    ...options,
    jobs: defineJobs(definitions),
  } as QueueOptions<Record<string, unknown>>);
  return workerQueueOf(queue);
}

/**
 * Returns the definition with a further handler, which runs after its own. The first handler's return value is the
 * result.
 */
function withHandler(definition: JobDefinition, handler: Handler): JobDefinition {
  if (!definition.handler) return { ...definition, handler };
  return {
    ...definition,
    handler: async (payload, ctx) => {
      const result = await definition.handler?.(payload, ctx);
      await handler(payload, ctx);
      return result;
    },
  };
}
