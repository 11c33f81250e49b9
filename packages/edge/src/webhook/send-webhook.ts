import { type Duration, type HandlerContext, type JobRecord, QuaysideError, toMs } from "@quayside/core";
import { describe } from "@quayside/core/engine";
import { asTarget, type JobTarget } from "../dispatch/job-target.ts";
import { keepResult, resultOf, WebhookError } from "./receiver-answer.ts";
import { type AllowedUrls, receiverUrl } from "./receiver-url.ts";
import { signersOf } from "./secrets.ts";

/** Options of `webhook`: the receiver, its secrets, and bounds of its answer. */
export interface WebhookOptions<Env = unknown> {
  /** Where to, by https. A function gets the Worker's `env` and the job. */
  readonly url: string | ((env: Env, job: JobRecord) => string);
  /**
   * Which URLs are taken: hosts (`"books.example"`, `"*.books.example"`), or a function that answers true. Set it where
   * URLs come from payloads. Default: every host but this machine, which is reached only if it is named here, also by
   * http (`["127.0.0.1"]`). Other literal addresses that are not public are never taken. Host names are not resolved.
   */
  readonly allow?: AllowedUrls;
  /**
   * `whsec_` and the base64 of 24 bytes or more, shared with the receiver. With several, each signs, so that a receiver
   * with any of them accepts the request and secrets can be rotated without a gap. Keep them in the Worker's secrets.
   */
  readonly secrets: string | readonly string[] | ((env: Env, job: JobRecord) => string | readonly string[]);
  /** Sent besides. Those that a webhook sets itself (`content-type`, `webhook-*`, `quayside-attempt`) stay its own. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How long the whole answer may take. Default 30 s. */
  readonly timeout?: Duration;
  /** Bytes of an answer that are kept as the job's result. Default 64 KiB. */
  readonly resultBytes?: number;
  /** Default: the platform's. A service binding's, for a receiver in another Worker. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

const RESULT_BYTES = 64 * 1024;

/** Longest time that the body of an answer may take, after its head has said what became of the job. */
const BODY_MS = 5_000;

/**
 * A handler that POSTs its jobs to a receiver anywhere, signed as Standard Webhooks 1.0 has it; also for `dispatch`. The
 * body is JSON: `type` (the job's name), `timestamp` (when it was added), `data` (its payload), `id` and `queue`. The
 * `webhook-id` is the same for all attempts of a job, so a receiver that remembers it takes each once; the attempt is in
 * `quayside-attempt`.
 *
 * Taken is what is answered 2xx, whatever its body is (its JSON is the job's result, where it can be kept); 410 fails the job for good; all else, redirects and
 * silence too, fails the attempt (see `WebhookError`).
 *
 * @see https://www.standardwebhooks.com
 * @throws {QuaysideError} `invalid_option` at a URL or a secret that will not do.
 * @example
 * durableQueue<typeof jobs, Env>({
 *   jobs,
 *   handlers: { invoice: webhook({ url: "https://books.example/hooks", secrets: (env: Env) => env.HOOK_SECRETS.split(" ") }) },
 * });
 */
export function webhook<Env = unknown>(options: WebhookOptions<Env>): JobTarget<Env> {
  const { url, secrets, resultBytes = RESULT_BYTES } = options;
  const timeoutMs = toMs(options.timeout ?? "30s", "timeout");
  const send = options.fetch ?? ((to, init) => fetch(to, init));
  const check = receiverUrl(options.allow);
  const extra = headersOf(options.headers);
  if (!Number.isSafeInteger(resultBytes) || resultBytes < 0)
    throw refused("resultBytes", `must be a whole number of bytes, got ${String(resultBytes)}.`);
  if (typeof url !== "function") check(url);
  if (typeof secrets !== "function") signersOf(secrets);

  return asTarget<Env>(async (_, ctx) => {
    const { job, env, signal } = ctx;
    const to = check(typeof url === "function" ? url(env, job) : url);
    const signers = signersOf(typeof secrets === "function" ? secrets(env, job) : secrets);
    const id = webhookId(job);
    const now = new Date();
    const body = bodyOf(job);
    const timeout = AbortSignal.timeout(Math.min(timeoutMs, LONGEST_TIMEOUT_MS));
    const init: RequestInit = {
      method: "POST",
      headers: {
        ...extra,
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": String(Math.floor(now.getTime() / 1_000)),
        "webhook-signature": signers.map((signer) => signer.sign(id, now, body)).join(" "),
        "quayside-attempt": String(ctx.attempt),
      },
      body,
      // A redirect could lead anywhere, also to where a job of this Worker's should not be sent.
      redirect: "manual",
      signal: AbortSignal.any([signal, timeout]),
    };
    try {
      const response = await send(to.href, init);
      // Half of what is left: the answer has to be read before the request, or the job, is cut off.
      const leftMs = Math.min(timeoutMs, job.timeoutMs ?? timeoutMs) - (Date.now() - now.getTime());
      const bodyMs = Math.min(BODY_MS, Math.max(0, leftMs / 2));
      return await resultOf(response, { origin: to.origin, ctx: ctx as HandlerContext, resultBytes, bodyMs });
    } catch (cause) {
      if (cause instanceof WebhookError || cause instanceof QuaysideError) throw cause;
      signal.throwIfAborted();
      if (timeout.aborted)
        throw new WebhookError(`${to.origin} did not answer within ${timeoutMs} ms.`, undefined, cause);
      throw new WebhookError(`${to.origin} could not be reached: ${describe(cause)}`, undefined, cause);
    }
  }, keepResult);
}

/** Longest delay of `AbortSignal.timeout`: a longer one ends at once. */
const LONGEST_TIMEOUT_MS = 2_147_483_647;

/**
 * The headers by their names in small letters, so that one in another case does not stand beside a webhook's own.
 *
 * @throws {QuaysideError} `invalid_option` for what is no header.
 */
function headersOf(headers: unknown): Record<string, string> {
  try {
    return Object.fromEntries(new Headers(headers as Record<string, string> | undefined));
  } catch (cause) {
    throw refused("headers", `cannot be sent: ${String(cause)}`);
  }
}

/** An id says which job of its queue is meant, so the queue belongs to it. Free of what headers and signatures mind. */
const webhookId = ({ queue, id }: JobRecord): string =>
  [queue, id].map((part) => encodeURIComponent(part).replaceAll(".", "%2E")).join("/");

/** The payload as it was stored, and not what a schema made of it: the receiver may hold it against the same schema. */
function bodyOf({ name, addedAt, payload, id, queue }: JobRecord): string {
  return JSON.stringify({ type: name, timestamp: new Date(addedAt).toISOString(), data: payload, id, queue });
}

const refused = (option: string, why: string) => new QuaysideError("invalid_option", `${option} ${why}`, { option });
