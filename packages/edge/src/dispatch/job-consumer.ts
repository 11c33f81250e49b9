import { WorkerEntrypoint } from "cloudflare:workers";
import {
  defineJobs,
  type HandledPayloadOf,
  type Handler,
  type JobDefinition,
  type JobMap,
  type JobName,
  memoryDriver,
  Queue,
  type QueueOptions,
} from "@quayside/core";
import { type WorkerQueue, workerQueueOf } from "@quayside/core/engine";
import { ConsumerAttempt } from "./consumer-attempt.ts";
import type { JobCall, JobOutcome } from "./job-call.ts";

/** Options of `jobConsumer`. */
export interface JobConsumerOptions<Jobs extends JobMap, Env>
  extends Pick<QueueOptions<Jobs, { readonly env: Env }>, "middleware" | "encryption"> {
  /** Handlers by job name, run after the handlers of the definitions. */
  readonly handlers?: {
    readonly [Name in JobName<Jobs>]?: Handler<HandledPayloadOf<Jobs, Name>, { readonly env: Env }>;
  };
  /** The job map from `defineJobs`: payloads and results are checked against its schemas here, where they are handled. */
  readonly jobs?: Jobs;
}

/**
 * Makes the Worker entrypoint that runs the jobs which a queue's object dispatches: in the same Worker or another, with
 * CPU time, memory and connections of its own for each attempt. The object claims, retries and settles.
 *
 * With `encryption` here the object needs no key. It then gets only the code of an encrypted job's error, and the delay that
 * the error asks for: `retryIf` and `backoff` cannot read its message or fields.
 *
 * @example
 * export class Consumer extends jobConsumer<typeof jobs, Env>({
 *   jobs,
 *   handlers: { email: async ({ to }, { env, signal }) => send(env.MAIL_KEY, to, signal) },
 * }) {}
 * export class MailQueue extends durableQueue<typeof jobs, Env>({ jobs, dispatch: (env) => env.CONSUMER }) {}
 */
export function jobConsumer<Jobs extends JobMap = Record<string, unknown>, Env = Cloudflare.Env>(
  options: JobConsumerOptions<Jobs, Env>,
): new (
  ctx: ExecutionContext,
  env: Env,
) => JobConsumerEntrypoint<Env> {
  let queue: WorkerQueue | undefined;
  return class extends JobConsumerEntrypoint<Env> {
    constructor(ctx: ExecutionContext, env: Env) {
      // With the first instance: while its module is loaded a Worker may not do everything yet.
      queue ??= workerQueue(options as unknown as JobConsumerOptions<JobMap, unknown>);
      super(ctx, env, queue);
    }
  };
}

/** An entrypoint that runs jobs; `jobConsumer` makes one. */
export class JobConsumerEntrypoint<Env = unknown> extends WorkerEntrypoint<Env> {
  readonly #queue: WorkerQueue;

  constructor(ctx: ExecutionContext, env: Env, queue: WorkerQueue) {
    super(ctx, env);
    this.#queue = queue;
  }

  /**
   * Runs one attempt for a queue's object. What the two say to each other is their own matter, and of no type that RPC
   * would map (their JSON has no depth that a type could end at).
   */
  async runJob(call: object): Promise<object> {
    const { job } = call as JobCall;
    if (!this.#queue.names?.().includes(job.name)) return { outcome: "unknown" } satisfies JobOutcome;
    const attempt = new ConsumerAttempt(call as JobCall);
    return attempt.run((ctx) => this.#queue.run(job, { ...ctx, env: this.env } as typeof ctx));
  }
}

/** The jobs run as those of any `Queue` do; nothing is ever put into this one. */
function workerQueue({ jobs = {}, handlers = {}, ...options }: JobConsumerOptions<JobMap, unknown>): WorkerQueue {
  const definitions: Record<string, JobDefinition> = { ...jobs };
  for (const [name, handler] of Object.entries(handlers as Record<string, Handler>)) {
    definitions[name] = withHandler(definitions[name] ?? {}, handler);
  }
  // A definition's handler is for jobs of any queue, one that `Queue.on` registers for those of its own.
  const queue = new Queue("consumer", memoryDriver(), {
    ...options,
    jobs: defineJobs(definitions),
  } as QueueOptions<Record<string, unknown>>);
  return workerQueueOf(queue);
}

/** One after the other; the result is the first one's. */
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
