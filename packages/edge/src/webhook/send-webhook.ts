import { type Duration, type HandlerContext, type JobRecord, QuaysideError, toMs } from "@quayside/core";
import { describe } from "@quayside/core/engine";
import { asTarget, type JobTarget } from "../dispatch/job-target.ts";
import { keepResult, resultOf, WebhookError } from "./receiver-answer.ts";
import { type AllowedUrls, receiverUrl } from "./receiver-url.ts";
import { signersOf } from "./secrets.ts";

/** Options of `webhook`: the receiver, the secrets, and limits of the response. */
export interface WebhookOptions<Env = unknown> {
  /** URL of the receiver (HTTPS), or a function that returns it from the Worker's `env` and the job. */
  readonly url: string | ((env: Env, job: JobRecord) => string);
  /**
   * Allowed receivers: hosts (`"books.example"`, `"*.books.example"`), or a function that returns true for an allowed
   * URL. Set it if URLs come from payloads. Default: every host except this machine. This machine must be named here,
   * and may then use HTTP (`["127.0.0.1"]`). Other non-public IP addresses are always refused. Host names are not
   * resolved.
   */
  readonly allow?: AllowedUrls | undefined;
  /**
   * Secrets shared with the receiver: `whsec_` followed by at least 24 bytes in base64. Each secret signs the request,
   * so a receiver with any one of them accepts it, and secrets can be rotated without downtime. Keep them in the
   * Worker's secrets.
   */
  readonly secrets: string | readonly string[] | ((env: Env, job: JobRecord) => string | readonly string[]);
  /**
   * Additional headers. They cannot replace the webhook's own headers (`content-type`, `webhook-*`,
   * `quayside-attempt`).
   */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Longest time for the whole response. Default: 30 s. */
  readonly timeout?: Duration | undefined;
  /** Maximum bytes of the response body that are stored as the job's result. Default: 64 KiB. */
  readonly resultBytes?: number | undefined;
  /** The `fetch` to use, for example a service binding's for a receiver in another Worker. Default: the platform's. */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
}

const RESULT_BYTES = 64 * 1024;

/** Longest time for reading the response's body after its head, in ms. */
const BODY_MS = 5_000;

/**
 * Creates a handler that POSTs each job to a receiver, signed by Standard Webhooks 1.0. Also usable with `dispatch`.
 * The body is JSON: `type` (the job's name), `timestamp` (when it was added), `data` (its payload), `id` and `queue`.
 * All attempts of a job have the same `webhook-id`, so a receiver can ignore repeats; `quayside-attempt` is the number
 * of the attempt.
 *
 * A 2xx response completes the job, whatever its body (a JSON body becomes the job's result if it can be stored). 410
 * fails the job for good. Any other response, and no response, fails the attempt (see `WebhookError`).
 *
 * @see https://www.standardwebhooks.com
 * @throws {QuaysideError} `invalid_option` if a URL or a secret is invalid.
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
      // A followed redirect could send the job to a host that `allow` refuses.
      redirect: "manual",
      signal: AbortSignal.any([signal, timeout]),
    };
    try {
      const response = await send(to.href, init);
      // Half of the remaining time, so that the body is read before the request or the job times out.
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

/** Longest delay of `AbortSignal.timeout`, in ms: a longer one fires immediately. */
const LONGEST_TIMEOUT_MS = 2_147_483_647;

/**
 * Checks the option `headers`. Returns it with lower-case names, so that a header in another case cannot duplicate the
 * webhook's own.
 *
 * @throws {QuaysideError} `invalid_option` if a header is invalid.
 */
function headersOf(headers: unknown): Record<string, string> {
  try {
    return Object.fromEntries(new Headers(headers as Record<string, string> | undefined));
  } catch (cause) {
    throw refused("headers", `cannot be sent: ${String(cause)}`);
  }
}

/**
 * Returns the `webhook-id`: queue and id of the job, percent-encoded for headers and signatures. Ids are unique only
 * within their queue.
 */
const webhookId = ({ queue, id }: JobRecord): string =>
  [queue, id].map((part) => encodeURIComponent(part).replaceAll(".", "%2E")).join("/");

/**
 * Creates the request body for a job. `data` is the stored payload, before the schema's transformations, so that the
 * receiver can check it by the same schema.
 */
function bodyOf({ name, addedAt, payload, id, queue }: JobRecord): string {
  return JSON.stringify({ type: name, timestamp: new Date(addedAt).toISOString(), data: payload, id, queue });
}

const refused = (option: string, why: string) => new QuaysideError("invalid_option", `${option} ${why}`, { option });
