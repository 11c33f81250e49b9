import {
  type Duration,
  type ErrorCode,
  type JobMap,
  type JobToAdd,
  QuaysideError,
  type Queue,
  toMs,
} from "@quayside/core";
import { type OnceOptions, once } from "./bridge-idempotency.ts";

/** Options of `fromQueueBatch`. */
export interface QueueBatchOptions<Jobs extends JobMap, Body> extends OnceOptions {
  /**
   * Returns the job for a message, or null to acknowledge the message without a job. `undefined`, the result of a
   * missing `return`, makes the message invalid. Default: the message's body is the job, `{ name, payload, … }`.
   */
  readonly job?: ((body: Body, message: Message<Body>) => JobToAdd<Jobs> | null) | undefined;
  /**
   * Called for a message that is not a valid job of this queue; returns whether to acknowledge it (`ack`) or to have
   * Cloudflare deliver it again (`retry`), until it moves to the dead letter queue, if there is one. Default: logs the
   * error and returns `retry`.
   */
  readonly onInvalid?:
    | ((message: Message<Body>, error: unknown) => "ack" | "retry" | Promise<"ack" | "retry">)
    | undefined;
  /** Delay before a message whose job could not be added is delivered again. Default: 10 s; at most 24 h. */
  readonly retryDelay?: Duration | undefined;
  /** Called with each error that prevented jobs from being added. Default: `console.error`. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** How many messages of a batch had which outcome. */
export interface QueueBatchResult {
  /** Messages whose jobs are stored, by this delivery or an earlier one. */
  readonly added: number;
  /** Messages acknowledged without a job, because `job` returned null. */
  readonly skipped: number;
  readonly invalid: number;
  /** Messages to be delivered again, because their jobs could not be stored. */
  readonly retried: number;
}

/**
 * Adds a job for each message of a Cloudflare Queues batch, in one transaction, and acknowledges each message when its
 * job is durable. A redelivered message adds nothing, because the message's id is the job's id.
 *
 * @example
 * async queue(batch, env) {
 *   await fromQueueBatch(batch, edgeQueue(env.MAIL_QUEUE, "mail", { jobs }), {
 *     job: ({ to, text }) => ({ name: "email", payload: { to, subject: "News", body: text } }),
 *   });
 * }
 */
export async function fromQueueBatch<Jobs extends JobMap, Body = unknown>(
  batch: MessageBatch<Body>,
  queue: Queue<Jobs>,
  options: QueueBatchOptions<Jobs, Body> = {},
): Promise<QueueBatchResult> {
  const { job: jobOf = jobInBody, onInvalid = refuse, onError = console.error } = options;
  const delaySeconds = Math.ceil(toMs(options.retryDelay ?? "10s", "retryDelay") / 1_000);
  if (delaySeconds > LONGEST_RETRY_S)
    throw new QuaysideError(
      "invalid_option",
      "retryDelay must be at most 24 h: Cloudflare Queues takes no longer one.",
      {
        option: "retryDelay",
      },
    );
  const result = { added: 0, skipped: 0, invalid: 0, retried: 0 };

  const add = async (message: Message<Body>): Promise<"added" | "skipped"> => {
    const job = read(() => checked(jobOf(message.body, message)));
    if (job === null) return "skipped";
    const { name, payload, ...rest } = once(job, message.id, options);
    await (queue as Queue).addJob(name as string, payload, rest);
    return "added";
  };
  /**
   * Returns the result of `onInvalid` for a message. If the call fails, returns `retry`, so that no message is lost.
   */
  const verdict = async (message: Message<Body>, error: unknown): Promise<"ack" | "retry"> => {
    try {
      return await onInvalid(message, error);
    } catch (fault) {
      tell(fault);
      return "retry";
    }
  };
  /** Calls `onError`. An error that it throws goes to the console, so that the other messages are still settled. */
  const tell = (error: unknown): void => {
    try {
      onError(error);
    } catch (fault) {
      console.error(fault, error);
    }
  };
  const settle = async (message: Message<Body>): Promise<void> => {
    try {
      const outcome = await add(message);
      message.ack();
      result[outcome]++;
    } catch (error) {
      if (isInvalid(error)) {
        result.invalid++;
        if ((await verdict(message, error)) === "ack") message.ack();
        else message.retry({ delaySeconds });
      } else {
        result.retried++;
        message.retry({ delaySeconds });
        tell(error);
      }
    }
  };
  // Adds made in the same microtask share a transaction; a refused add does not affect the others.
  await Promise.all(batch.messages.map(settle));
  return result;
}

/** Longest delay of a message that Cloudflare Queues delivers again, in seconds. */
const LONGEST_RETRY_S = 86_400;

/**
 * Checks the result of the option `job`, and returns it.
 *
 * @throws {QuaysideError} if it is a promise or not a job: the message would be acknowledged without a job.
 */
function checked<Jobs extends JobMap>(job: JobToAdd<Jobs> | null): JobToAdd<Jobs> | null {
  if (job === null) return null;
  const refuse = (what: string, hint: string): never => {
    throw new QuaysideError("bad_request", `job returned ${what} for this message: return ${hint}.`);
  };
  if (job === undefined) return refuse("undefined", "a job, or null for a message that means none");
  if (typeof job !== "object") return refuse(`a ${typeof job}`, "an object with name and payload");
  if (typeof (job as { then?: unknown }).then === "function") return refuse("a promise", "the job at once");
  return job;
}

/** Runs `work`. If it throws, the error is marked as caused by the message. */
function read<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (isInvalid(cause)) throw cause;
    throw new QuaysideError("bad_request", `This message is no job: ${String(cause)}`, {}, cause);
  }
}

function jobInBody<Jobs extends JobMap>(body: unknown): JobToAdd<Jobs> {
  if (typeof body === "object" && body !== null && typeof (body as { name?: unknown }).name === "string")
    return body as JobToAdd<Jobs>;
  throw new QuaysideError("bad_request", "This message is no job: its body is no object with a name.");
}

function refuse(message: Message<unknown>, error: unknown): "retry" {
  console.error(`Message ${message.id} cannot become a job (delivery ${message.attempts}).`, error);
  return "retry";
}

/** Error codes that show that a message is invalid: they would occur at every further delivery of it. */
const INVALID: ReadonlySet<ErrorCode> = new Set([
  "bad_request",
  "invalid_option",
  "invalid_payload",
  "payload_too_large",
  "too_large",
  "unknown_job",
]);
const isInvalid = (error: unknown): boolean => error instanceof QuaysideError && INVALID.has(error.code);
