import {
  type HandledPayloadOf,
  type JobDefinition,
  type JobMap,
  type JobName,
  QuaysideError,
  validatePayload,
} from "@quayside/core";
import { type Webhook, WebhookVerificationError } from "standardwebhooks";
import { readBytes, textOf } from "./read-bytes.ts";
import { signersOf } from "./secrets.ts";

export interface VerifyOptions<Jobs extends JobMap> {
  /** The job map from `defineJobs`: payloads are checked against its schemas, and `data` is what they make of them. */
  readonly jobs?: Jobs;
  /** Longest body taken, in bytes. Default 1 MiB. */
  readonly bodyBytes?: number;
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
 * @throws {QuaysideError} `unauthorized` when it is not signed so; `too_large`; `bad_request` when it is no job;
 * `unknown_job`, `invalid_payload` by `jobs`; `invalid_option` at a secret that will not do.
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
  { jobs, bodyBytes = BODY_BYTES }: VerifyOptions<Jobs> = {},
): Promise<WebhookEvent<Jobs>> {
  const signers = signersOf(secrets);
  const body = await bodyOf(request, bodyBytes);
  const { headers } = request;
  const shown = Object.fromEntries(SIGNED.map((name) => [name, headers.get(name) ?? ""]));
  checkSignature(signers, body, shown);
  const { type, timestamp, data, id, queue } = parse(body);
  const event = {
    webhookId: shown["webhook-id"],
    sentAt: new Date(Number(shown["webhook-timestamp"]) * 1_000),
    attempt: Number(headers.get("quayside-attempt") ?? 1),
    type,
    timestamp,
    data: jobs ? await checked(type, data, jobs) : data,
    id,
    queue,
  };
  return event as WebhookEvent<Jobs>;
}

const SIGNED = ["webhook-id", "webhook-timestamp", "webhook-signature"] as const;

async function bodyOf(request: Request, limit: number): Promise<string> {
  const bytes = await readBytes(request.body, limit);
  if (!bytes) throw new QuaysideError("too_large", `The body is larger than ${limit} bytes.`, { limit });
  try {
    return textOf(bytes);
  } catch (cause) {
    throw new QuaysideError("bad_request", "The body is not UTF-8.", {}, cause);
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
  throw new QuaysideError("unauthorized", `This webhook is not signed as it should be: ${why}.`);
}

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
