import {
  type Duration,
  type HandledPayloadOf,
  type JobDefinition,
  type JobMap,
  type JobName,
  QuaysideError,
  toMs,
  type UntypedJobs,
} from "@quayside/core";
import { validatePayload } from "@quayside/core/engine";
import { type Webhook, WebhookVerificationError } from "standardwebhooks";
import { readBytes, textOf } from "./read-bytes.ts";
import { signersOf } from "./secrets.ts";

/** Options of `verifyWebhook`: the job map, and limits of the request's body. */
export interface VerifyOptions<Jobs extends JobMap> {
  /** The job map from `defineJobs`. Payloads are checked by its schemas, and `data` is the output of the schema. */
  readonly jobs?: Jobs | undefined;
  /** Maximum bytes of the body. Default: 1 MiB. */
  readonly bodyBytes?: number | undefined;
  /**
   * Longest time for the body to arrive. Limited because the body is read before its signature is checked. Default: 10
   * s.
   */
  readonly bodyTimeout?: Duration | undefined;
}

/** A job received by webhook. `type` is its name and determines the type of `data`. */
export type WebhookEvent<Jobs extends JobMap = UntypedJobs> = {
  [Name in JobName<Jobs>]: {
    /** Id of the webhook, the same for all attempts of a job. Store it to ignore repeats. */
    readonly webhookId: string;
    /** Time when the sender signed the request. */
    readonly sentAt: Date;
    /** Number of the attempt, from 1. The signature does not cover it. */
    readonly attempt: number;
    /** The job's name. */
    readonly type: Name;
    /** Time when the job was added, as ISO 8601. */
    readonly timestamp: string;
    readonly data: HandledPayloadOf<Jobs, Name>;
    readonly id: string;
    readonly queue: string;
  };
}[JobName<Jobs>];

const BODY_BYTES = 1024 * 1024;

/**
 * Verifies a webhook request and returns its job. Requires a signature by one of the secrets that is at most five
 * minutes old. Runs wherever `Request` and `crypto` exist: Workers, Node, Deno, Bun.
 *
 * @throws {QuaysideError} `unauthorized` without a valid signature; `too_large` or `timeout` if the body exceeds
 * `bodyBytes` or `bodyTimeout`; `bad_request` if the body breaks off or is no job; `unknown_job` or
 * `invalid_payload` if `jobs` does not allow the job; `invalid_option` if a secret is invalid.
 * @example
 * app.post("/hooks", async (c) => {
 *   const { type, data, webhookId } = await verifyWebhook<typeof jobs>(c.req.raw, c.env.HOOK_SECRETS.split(" "), { jobs });
 *   if (type === "invoice") await book(data, { once: webhookId });
 *   return c.body(null, 204);
 * });
 */
export async function verifyWebhook<Jobs extends JobMap = UntypedJobs>(
  request: Request,
  secrets: string | readonly string[],
  { jobs, bodyBytes = BODY_BYTES, bodyTimeout = "10s" }: VerifyOptions<Jobs> = {},
): Promise<WebhookEvent<Jobs>> {
  const signers = signersOf(secrets);
  if (!Number.isSafeInteger(bodyBytes) || bodyBytes < 0)
    throw new QuaysideError("invalid_option", `bodyBytes must be a whole number of bytes, got ${String(bodyBytes)}.`, {
      option: "bodyBytes",
    });
  const timeoutMs = toMs(bodyTimeout, "bodyTimeout");
  const { headers } = request;
  const shown = Object.fromEntries(SIGNED.map((name) => [name, headers.get(name) ?? ""]));
  // Checked before the body is read.
  const missing = SIGNED.filter((name) => shown[name] === "");
  if (missing.length > 0) throw unsigned(`it has no ${missing.join(", ")}`);
  checkTime(shown["webhook-timestamp"] ?? "");
  const attempt = attemptOf(headers.get("quayside-attempt"));
  const body = await bodyOf(request, bodyBytes, timeoutMs);
  checkSignature(signers, body, shown);
  const { type, timestamp, data, id, queue } = parse(body);
  const event = {
    webhookId: shown["webhook-id"],
    sentAt: new Date(Number(shown["webhook-timestamp"]) * 1_000),
    attempt,
    type,
    timestamp,
    data: jobs ? await checked(type, data, jobs) : data,
    id,
    queue,
  };
  return event as WebhookEvent<Jobs>;
}

const SIGNED = ["webhook-id", "webhook-timestamp", "webhook-signature"] as const;

/** Maximum difference between the clocks of sender and receiver, in seconds, as Standard Webhooks says. */
const TOLERANCE_S = 5 * 60;

/**
 * Checks the syntax and age of the header `webhook-timestamp`. The library's verifier ignores text after the digits, so
 * it would accept a changed header.
 */
function checkTime(timestamp: string): void {
  const age = Date.now() / 1_000 - Number(timestamp);
  if (!/^[1-9]\d{0,11}$/.test(timestamp)) throw unsigned("its webhook-timestamp is not a whole number of seconds");
  if (Math.abs(age) > TOLERANCE_S + 1) throw unsigned(`its webhook-timestamp is too ${age > 0 ? "old" : "new"}`);
}

/**
 * Reads the number of the attempt.
 *
 * @throws {QuaysideError} `bad_request` if the header is not a whole number from 1.
 */
function attemptOf(header: string | null): number {
  if (header === null) return 1;
  if (/^[1-9]\d{0,8}$/.test(header)) return Number(header);
  throw new QuaysideError("bad_request", "The quayside-attempt of this webhook is not a whole number from 1.");
}

async function bodyOf(request: Request, limit: number, timeoutMs: number): Promise<string> {
  if (request.bodyUsed)
    throw new QuaysideError("invalid_option", "The body of this request was read already: pass an unread one.", {
      option: "request",
    });
  const said = Number(request.headers.get("content-length") ?? 0);
  const read = said > limit ? "too_large" : await readBytes(request.body, { bytes: limit, ms: timeoutMs });
  switch (read) {
    case "too_large":
      throw new QuaysideError("too_large", `The body is larger than ${limit} bytes.`, { limit });
    case "too_slow":
      throw new QuaysideError("timeout", `The body did not arrive within ${timeoutMs} ms.`, { timeoutMs });
    case "broken":
      throw new QuaysideError("bad_request", "The body broke off before its end.");
    default:
      try {
        return textOf(read);
      } catch (cause) {
        throw new QuaysideError("bad_request", "The body is not UTF-8.", {}, cause);
      }
  }
}

/** Checks that one of the secrets verifies the signature. */
function checkSignature(signers: readonly Webhook[], body: string, headers: Record<string, string>): void {
  let why = "";
  for (const signer of signers) {
    try {
      signer.verify(body, headers, { jsonParse: false });
      return;
    } catch (error) {
      if (!(error instanceof WebhookVerificationError)) throw error;
      why = error.message;
    }
  }
  throw unsigned(why);
}

const unsigned = (why: string) =>
  new QuaysideError("unauthorized", `This webhook is not signed as it should be: ${why}.`);

interface Envelope {
  readonly type: string;
  readonly timestamp: string;
  readonly data: unknown;
  readonly id: string;
  readonly queue: string;
}

function parse(body: string): Envelope {
  let value: Partial<Envelope> | null;
  try {
    value = JSON.parse(body) as Partial<Envelope> | null;
  } catch (cause) {
    throw new QuaysideError("bad_request", "The body is not JSON.", {}, cause);
  }
  const missing = (["type", "timestamp", "id", "queue"] as const).filter((name) => typeof value?.[name] !== "string");
  if (missing.length === 0) return value as Envelope;
  throw new QuaysideError("bad_request", `The body is no job: it has no ${missing.join(", ")}.`, { missing });
}

async function checked(name: string, data: unknown, jobs: JobMap): Promise<unknown> {
  const definitions = jobs as Readonly<Record<string, JobDefinition>>;
  if (Object.hasOwn(definitions, name)) return validatePayload(name, definitions[name], data);
  throw new QuaysideError("unknown_job", `There is no job ${JSON.stringify(name)} in the job map.`, { job: name });
}
