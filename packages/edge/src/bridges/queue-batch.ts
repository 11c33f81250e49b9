import {
  type Duration,
  type ErrorCode,
  type JobMap,
  type JobName,
  type JobToAdd,
  QuaysideError,
  type Queue,
  toMs,
} from "@quayside/core";
import { type OnceOptions, once } from "./bridge-idempotency.ts";

/** Options of `fromQueueBatch`. */
export interface QueueBatchOptions<Jobs extends JobMap, Body> extends OnceOptions {
  /**
   * Returns the job of a message, or null for none: the message is then acknowledged. `undefined`, the result of a
   * missing `return`, makes the message invalid. Default: its body is the job, `{ name, payload, … }`.
   */
  readonly job?: (body: Body, message: Message<Body>) => JobToAdd<Jobs> | null;
  /**
   * Called with a message that is no valid job of this queue. `retry`: Cloudflare delivers it again, and at last moves
   * it to the dead letter queue, if there is one. Default: logs the error and returns `retry`.
   */
  readonly onInvalid?: (message: Message<Body>, error: unknown) => "ack" | "retry" | Promise<"ack" | "retry">;
  /** How long until a message whose job could not be added is delivered again. Default 10 s, at most 24 h. */
  readonly retryDelay?: Duration;
  /** Gets what kept jobs from being added. Default: the log. */
  readonly onError?: (error: unknown) => void;
}

/** The outcome of the messages of a batch. */
export interface QueueBatchResult {
  /** Their jobs stand in the queue, from now or from an earlier delivery. */
  readonly added: number;
  /** Acknowledged without a job, because `job` returned null. */
  readonly skipped: number;
  readonly invalid: number;
  /** To be delivered again: their jobs could not be stored. */
  readonly retried: number;
}

/**
 * Adds a job for each message of a Cloudflare Queues batch, in one transaction, and acknowledges each message once its
 * job is durable. A message that is delivered again adds nothing: its id is the job's.
 *
 * @example
 * async queue(batch, env) {
 *   await fromQueueBatch(batch, edgeQueue<typeof jobs>(env.MAIL_QUEUE, "mail", { jobs }), {
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
    await queue.addJob(name as JobName<Jobs>, payload, rest);
    return "added";
  };
  /** Asks `onInvalid`; where it fails, the message is delivered again, so that none is lost. */
  const verdict = async (message: Message<Body>, error: unknown): Promise<"ack" | "retry"> => {
    try {
      return await onInvalid(message, error);
    } catch (fault) {
      tell(fault);
      return "retry";
    }
  };
  /** A report that fails must not keep other messages from being settled. */
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
  // Adds of one turn share a transaction; one that is refused falls out of it alone.
  await Promise.all(batch.messages.map(settle));
  return result;
}

/** Of a message that Cloudflare Queues is asked to deliver again. */
const LONGEST_RETRY_S = 86_400;

/** @throws {QuaysideError} for a promise and for what is no job: nothing is acknowledged whose job was not added. */
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

/** Marks an error that `job` throws as one of the message. */
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

/** No other delivery of the same message will do better. */
const INVALID: ReadonlySet<ErrorCode> = new Set([
  "bad_request",
  "invalid_option",
  "invalid_payload",
  "payload_too_large",
  "too_large",
  "unknown_job",
]);
const isInvalid = (error: unknown): boolean => error instanceof QuaysideError && INVALID.has(error.code);
