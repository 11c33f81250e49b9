import { type HandlerContext, UnrecoverableError } from "@quayside/core";
import { readBytes, textOf } from "./read-bytes.ts";

/**
 * Thrown when a webhook was not taken: its receiver answered other than 2xx, or not at all. The job is tried again as
 * its options say; a `Retry-After` of the answer goes before its backoff. `retryIf: (error) => error.status !== 400` in a
 * definition makes a status final.
 */
export class WebhookError extends Error {
  override readonly name = "WebhookError";
  /** Of the answer; undefined when there was none. */
  readonly status: number | undefined;
  /** Of the answer: its `Retry-After` is heeded. */
  readonly headers: Headers | undefined;

  constructor(message: string, answer?: Pick<Response, "status" | "headers">, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = answer?.status;
    this.headers = answer?.headers;
  }
}

/** What an answer that refuses says is told if it has no more bytes. */
const EXCERPT = 1_024;

/**
 * What an answer means, by Standard Webhooks: 2xx is success, 410 that nothing more is wanted, and all the rest, whether
 * redirect or error, that it is to be tried again.
 *
 * @returns the job's result: what a 2xx says in JSON, if it is no longer than `resultBytes`.
 */
export async function resultOf(
  response: Response,
  { origin, ctx, resultBytes }: { origin: string; ctx: HandlerContext; resultBytes: number },
): Promise<unknown> {
  if (response.ok) {
    if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(response.headers.get("content-type") ?? "")) {
      await response.body?.cancel();
      return undefined;
    }
    // The job is done, whatever can be made of the answer: what cannot be kept is no reason to do it again.
    const bytes = await readBytes(response.body, resultBytes);
    if (bytes?.length === 0) return undefined;
    if (!bytes) ctx.log(`The answer of ${origin} is longer than ${resultBytes} bytes: it is not kept.`);
    else
      try {
        return JSON.parse(textOf(bytes)) as unknown;
      } catch {
        ctx.log(`The answer of ${origin} is not the JSON that it says it is: it is not kept.`);
      }
    return undefined;
  }
  const said = await excerptOf(response);
  const answered = `${origin} answered ${response.status}${said && `: ${said}`}`;
  if (response.status === 410) throw new UnrecoverableError(answered);
  if (response.status >= 300 && response.status < 400)
    throw new WebhookError(`${answered} (redirects are not followed)`, response);
  throw new WebhookError(answered, response);
}

async function excerptOf(response: Response): Promise<string> {
  try {
    const bytes = await readBytes(response.body, EXCERPT);
    return bytes ? textOf(bytes).trim() : "";
  } catch {
    return "";
  }
}
