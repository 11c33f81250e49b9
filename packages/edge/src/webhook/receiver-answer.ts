import { type HandlerContext, LIMITS, UnrecoverableError } from "@quayside/core";
import { describe, toBoundedJson } from "@quayside/core/engine";
import { readBytes, textOf, type Unread } from "./read-bytes.ts";

/**
 * Thrown when a webhook was not accepted: its receiver gave no answer, or one other than 2xx. The job is retried by its
 * options; a `Retry-After` of the answer takes precedence over its backoff. `retryIf: (error) => error.status !== 400`
 * in a definition makes a status final.
 */
export class WebhookError extends Error {
  override readonly name = "WebhookError";
  /** Status of the answer; undefined when there was none. */
  readonly status: number | undefined;
  /** Headers of the answer: a retry waits for its `Retry-After`. */
  readonly headers: Headers | undefined;

  constructor(message: string, answer?: Pick<Response, "status" | "headers">, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = answer?.status;
    this.headers = answer?.headers;
  }
}

/** Most bytes of a refusal's text that the error quotes. */
const EXCERPT_BYTES = 1_024;

/** Bytes of a result that an encrypted job may have: its envelope is a third longer. */
const SEALED_RESULT_BYTES = 95 * 1024;

export interface AnswerOptions {
  readonly origin: string;
  readonly ctx: HandlerContext;
  readonly resultBytes: number;
  /** Ms that the body may take: where the head says that the job is done, its body must not undo that. */
  readonly bodyMs: number;
}

/**
 * Reads an answer by Standard Webhooks: 2xx is success, 410 ends the job, and any other status, redirects too, is
 * retried.
 *
 * @returns the job's result: the JSON of a 2xx, where it can be stored; otherwise undefined, and a log line has the
 * reason.
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

/** Never rejects: the receiver has taken the job, whatever its answer is. */
async function keptOf(response: Response, { origin, ctx, resultBytes, bodyMs }: AnswerOptions): Promise<unknown> {
  const drop = (why: string): void => ctx.log(`The answer of ${origin} ${why}: it is not kept.`);
  if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(response.headers.get("content-type") ?? "")) {
    // Not awaited: how the rest of the body ends is of no concern.
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

/** @throws where the store would refuse it: 1e999, nesting, size. */
function storable(value: unknown, { job }: HandlerContext): unknown {
  if (value !== undefined)
    toBoundedJson(value, "result", "invalid_result", job.sealed ? SEALED_RESULT_BYTES : LIMITS.resultBytes);
  return value;
}

/** The result as the output schema makes it; undefined where that refuses it, fails, or makes what cannot be stored. */
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
