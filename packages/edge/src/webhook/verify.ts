import {
  type Duration,
  type HandledPayloadOf,
  type JobDefinition,
  type JobMap,
  type JobName,
  QuaysideError,
  toMs,
} from "@quayside/core";
import { validatePayload } from "@quayside/core/engine";
import { type Webhook, WebhookVerificationError } from "standardwebhooks";
import { readBytes, textOf } from "./read-bytes.ts";
import { signersOf } from "./secrets.ts";

/** Options of `verifyWebhook`: the job map, and bounds of the body. */
export interface VerifyOptions<Jobs extends JobMap> {
  /** The job map from `defineJobs`: payloads are checked against its schemas, and `data` is what they make of them. */
  readonly jobs?: Jobs;
  /** Longest body taken, in bytes. Default 1 MiB. */
  readonly bodyBytes?: number;
  /** How long the body may take to arrive: it is read before it is known to be signed. Default 10 s. */
  readonly bodyTimeout?: Duration;
}

/** A job that came by webhook: `type` says which it is, and so what `data` is. */
export type WebhookEvent<Jobs extends JobMap = Record<string, unknown>> = {
  [Name in JobName<Jobs>]: {
    /** The same in all attempts of a job: remember it to take each once. */
    readonly webhookId: string;
    /** When it was sent. */
    readonly sentAt: Date;
    /** From 1, as the sender counts; not signed. */
    readonly attempt: number;
    /** The job's name. */
    readonly type: Name;
    /** When it was added. */
    readonly timestamp: string;
    readonly data: HandledPayloadOf<Jobs, Name>;
    readonly id: string;
    readonly queue: string;
  };
}[JobName<Jobs>];

const BODY_BYTES = 1024 * 1024;

/**
 * The job in a webhook's request, once its signature is found to be of one of these secrets and no older than five
 * minutes. Runs wherever there are `Request` and `crypto`: Workers, Node, Deno, Bun.
 *
 * @throws {QuaysideError} `unauthorized` when it is not signed so; `too_large`, `timeout` when its body is longer than
 * `bodyBytes` or takes longer than `bodyTimeout`; `bad_request` when it breaks off or is no job; `unknown_job`,
 * `invalid_payload` by `jobs`; `invalid_option` at a secret that will not do.
 * @example
 * app.post("/hooks", async (c) => {
 *   const { type, data, webhookId } = await verifyWebhook<typeof jobs>(c.req.raw, c.env.HOOK_SECRETS.split(" "), { jobs });
 *   if (type === "invoice") await book(data, { once: webhookId });
 *   return c.body(null, 204);
 * });
 */
export async function verifyWebhook<Jobs extends JobMap = Record<string, unknown>>(
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
  // Before a body is read that cannot be taken.
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

/** Seconds by which the clocks of sender and receiver may differ, as Standard Webhooks says. */
const TOLERANCE_S = 5 * 60;

/** The reference library reads no further than the digits go, and so signs for what was not sent. */
function checkTime(timestamp: string): void {
  const age = Date.now() / 1_000 - Number(timestamp);
  if (!/^[1-9]\d{0,11}$/.test(timestamp)) throw unsigned("its webhook-timestamp is not a whole number of seconds");
  if (Math.abs(age) > TOLERANCE_S + 1) throw unsigned(`its webhook-timestamp is too ${age > 0 ? "old" : "new"}`);
}

/** @throws {QuaysideError} `bad_request` for what no sender counts. */
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

/** One secret that fits is enough. */
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
