import { type Duration, type HandlerContext, type JobRecord, QuaysideError, toMs } from "@quayside/core";
import { asTarget, type JobTarget } from "../dispatch/job-target.ts";
import { resultOf, WebhookError } from "./answer.ts";
import { signersOf } from "./secrets.ts";

export interface WebhookOptions<Env = unknown> {
  /** Where to: https, or http to this machine. A function gets the Worker's `env` and the job. */
  readonly url: string | ((env: Env, job: JobRecord) => string);
  /**
   * `whsec_` and the base64 of 24 bytes or more, shared with the receiver. Several: each signs, so that a receiver that
   * knows any of them is content, and secrets can be changed without a gap. Keep them in the Worker's secrets.
   */
  readonly secrets: string | readonly string[] | ((env: Env, job: JobRecord) => string | readonly string[]);
  /** Sent besides. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How long the whole answer may take. Default 30 s. */
  readonly timeout?: Duration;
  /** Bytes of an answer that are kept as the job's result. Default 64 KiB. */
  readonly resultBytes?: number;
  /** Default: the platform's. A service binding's, for a receiver in another Worker. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

const RESULT_BYTES = 64 * 1024;

/**
 * A handler that POSTs its jobs to a receiver anywhere, signed as Standard Webhooks 1.0 has it; also for `dispatch`. The
 * body is JSON: `type` (the job's name), `timestamp` (when it was added), `data` (its payload), `id` and `queue`. The
 * `webhook-id` is the same for all attempts of a job, so a receiver that remembers it takes each once; the attempt is in
 * `quayside-attempt`.
 *
 * Taken is what is answered 2xx (its JSON is the job's result); 410 fails the job for good; all else, redirects and
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
  const { url, secrets, headers, resultBytes = RESULT_BYTES } = options;
  const timeoutMs = toMs(options.timeout ?? "30s", "timeout");
  const send = options.fetch ?? ((to, init) => fetch(to, init));
  if (typeof url === "string") checkUrl(url);
  if (typeof secrets !== "function") signersOf(secrets);

  return asTarget<Env>(async (_, ctx) => {
    const { job, env, signal } = ctx;
    const to = checkUrl(typeof url === "function" ? url(env, job) : url);
    const signers = signersOf(typeof secrets === "function" ? secrets(env, job) : secrets);
    const id = webhookId(job);
    const now = new Date();
    const body = bodyOf(job);
    const timeout = AbortSignal.timeout(timeoutMs);
    const init: RequestInit = {
      method: "POST",
      headers: {
        ...headers,
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
      return await resultOf(await send(to.href, init), { origin: to.origin, ctx: ctx as HandlerContext, resultBytes });
    } catch (cause) {
      if (cause instanceof WebhookError || cause instanceof QuaysideError) throw cause;
      signal.throwIfAborted();
      if (timeout.aborted)
        throw new WebhookError(`${to.origin} did not answer within ${timeoutMs} ms.`, undefined, cause);
      throw new WebhookError(`${to.origin} could not be reached: ${String(cause)}`, undefined, cause);
    }
  });
}

/** An id says which job of its queue is meant, so the queue belongs to it. Free of what headers and signatures mind. */
const webhookId = ({ queue, id }: JobRecord): string =>
  [queue, id].map((part) => encodeURIComponent(part).replaceAll(".", "%2E")).join("/");

/** The payload as it was stored, and not what a schema made of it: the receiver may hold it against the same schema. */
function bodyOf({ name, addedAt, payload, id, queue }: JobRecord): string {
  return JSON.stringify({ type: name, timestamp: new Date(addedAt).toISOString(), data: payload, id, queue });
}

const LOOPBACK: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

function checkUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw refused(`must be a URL, got ${JSON.stringify(text) ?? String(text)}.`);
  }
  if (url.protocol !== "https:" && !(url.protocol === "http:" && LOOPBACK.has(url.hostname)))
    throw refused(`must be https (http to this machine alone), got ${url.protocol}//${url.host}.`);
  if (url.username !== "" || url.password !== "") throw refused("must carry no credentials: set headers.");
  return url;
}

const refused = (why: string) => new QuaysideError("invalid_option", `url ${why}`, { option: "url" });
