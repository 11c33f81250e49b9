import { type HandlerContext, LIMITS, UnrecoverableError } from "@quayside/core";
import { describe, toBoundedJson } from "@quayside/core/engine";
import { readBytes, textOf, type Unread } from "./read-bytes.ts";

/**
 * Thrown when a webhook's receiver did not respond, or responded with a status other than 2xx. The job is retried by
 * its options; a `Retry-After` header takes precedence over the backoff. To make a status final, set `retryIf: (error)
 * => error.status !== 400` in the job's definition.
 */
export class WebhookError extends Error {
  override readonly name = "WebhookError";
  /** Status of the response; undefined without a response. */
  readonly status: number | undefined;
  /** Headers of the response. A retry waits for its `Retry-After`. */
  readonly headers: Headers | undefined;

  constructor(message: string, answer?: Pick<Response, "status" | "headers">, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = answer?.status;
    this.headers = answer?.headers;
  }
}

/** Maximum bytes of the response's body that the message of a `WebhookError` quotes. */
const EXCERPT_BYTES = 1_024;

/** Maximum bytes of the result of an encrypted job. Encryption makes the stored result a third longer. */
const SEALED_RESULT_BYTES = 95 * 1024;

export interface AnswerOptions {
  readonly origin: string;
  readonly ctx: HandlerContext;
  readonly resultBytes: number;
  /**
   * Longest time for reading the response's body, in ms. A slow body must not fail a job whose status says that it is
   * done.
   */
  readonly bodyMs: number;
}

/**
 * Reads the response of a webhook's receiver, by the rules of Standard Webhooks: 2xx is success, 410 fails the job for
 * good, any other status, including redirects, is retried.
 *
 * @returns the job's result: the JSON body of a 2xx response, or undefined if the body cannot be stored; a log line
 * then has the reason.
 */
export async function resultOf(response: Response, options: AnswerOptions): Promise<unknown> {
  if (response.ok) return keptOf(response, options);
  const { origin } = options;
  const said = await excerptOf(response, options);
  const answered = `${origin} answered ${response.status}${said && `: ${said}`}`;
  if (response.status === 410) throw new UnrecoverableError(answered);
  if (response.status >= 300 && response.status < 400)
    throw new WebhookError(`${answered} (redirects are not followed)`, response);
  throw new WebhookError(answered, response);
}

/** Returns the JSON body of a 2xx response. Never rejects, because the receiver has accepted the job. */
async function keptOf(response: Response, { origin, ctx, resultBytes, bodyMs }: AnswerOptions): Promise<unknown> {
  const drop = (why: string): void => ctx.log(`The answer of ${origin} ${why}: it is not kept.`);
  if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(response.headers.get("content-type") ?? "")) {
    // Not awaited: the rest of the body is not needed.
    void response.body?.cancel().catch(() => {});
    return undefined;
  }
  const read = await readBytes(response.body, { bytes: resultBytes, ms: bodyMs, signal: ctx.signal });
  if (typeof read === "string") return drop(UNREAD[read](resultBytes));
  if (read.length === 0) return undefined;
  try {
    return storable(JSON.parse(textOf(read)), ctx);
  } catch {
    return drop("is not the JSON that it says it is, or cannot be a result");
  }
}

const UNREAD: Readonly<Record<Unread, (limit: number) => string>> = {
  too_large: (limit) => `is longer than ${limit} bytes`,
  too_slow: () => "did not end in time",
  broken: () => "broke off",
};

/**
 * Checks that a value can be stored as the job's result, and returns it.
 *
 * @throws if it cannot: a number such as 1e999, or a value that is nested too deep or too large.
 */
function storable(value: unknown, { job }: HandlerContext): unknown {
  if (value !== undefined)
    toBoundedJson(value, "result", "invalid_result", job.sealed ? SEALED_RESULT_BYTES : LIMITS.resultBytes);
  return value;
}

/**
 * Returns the result that the output schema gives; undefined if the schema refuses it, fails, or returns a value that
 * cannot be stored.
 */
export async function keepResult(check: () => unknown, ctx: HandlerContext): Promise<unknown> {
  try {
    return storable(await check(), ctx);
  } catch (error) {
    ctx.log(`The answer is not kept, for it does not fit the schema of results: ${describe(error)}`);
    return undefined;
  }
}

async function excerptOf({ body }: Response, { ctx, bodyMs }: AnswerOptions): Promise<string> {
  const read = await readBytes(body, { bytes: EXCERPT_BYTES, ms: bodyMs, signal: ctx.signal });
  try {
    return typeof read === "string" ? "" : textOf(read).trim();
  } catch {
    return "";
  }
}
