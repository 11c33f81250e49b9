import { QuaysideError } from "./errors.ts";
import { checkName } from "./job-keys.ts";
import { type JobDefinition, jobDefaultsOf, validatePayload } from "./job-map.ts";
import { type JobDefaults, type JobOptions, type OptionParsers, resolveOptions } from "./job-options.ts";
import { toJsonText, utf8Bytes } from "./json.ts";
import type { FlowPart, NewJob } from "./new-job.ts";

/** A job as its caller passes it, before its options and payload are checked. */
export interface JobDraft {
  readonly queue: string;
  readonly name: string;
  readonly payload: unknown;
  readonly options?: JobOptions | undefined;
  readonly flow?: FlowPart | undefined;
  /** W3C trace context (`traceparent`) of the code that adds the job. */
  readonly trace?: string | undefined;
  /** Set if the payload is already encrypted. Its schema is then checked after decryption, before the job runs. */
  readonly sealed?: true | undefined;
  /** Path of the job in its flow, for errors: `children[2]`; empty for the root. */
  readonly at?: string | undefined;
}

/** Settings of `prepareJob`, in addition to the job and its definition. */
export interface PrepareSettings {
  /** Parsers of the known job options, by name. */
  readonly parsers: OptionParsers;
  /** Maximum bytes of the payload as JSON. */
  readonly payloadLimit: number;
  /** Options of all jobs of the queue. Options of the definition and of the job take precedence. */
  readonly defaults?: JobDefaults | undefined;
  /** Current time by the caller's clock, which converts `availableAt` to a delay. */
  readonly now: number;
}

/**
 * Converts a draft to a job that a driver takes: checks names, resolves options, converts the payload to JSON text
 * within its limit and checks it by its schema. Returns a promise only if the schema returns one. Called by queues and
 * by the HTTP API.
 *
 * @throws {QuaysideError} `invalid_option`, `invalid_payload`, `payload_too_large`.
 */
export function prepareJob(
  draft: JobDraft,
  definition: JobDefinition | undefined,
  settings: PrepareSettings,
): NewJob | Promise<NewJob> {
  const job = resolveJob(draft, definition, settings);
  if (!definition?.input || draft.sealed) return job;
  // Checks the payload only. The worker checks again and passes the schema's output to the handler.
  const checked = validatePayload(draft.name, definition, JSON.parse(job.payload));
  return checked instanceof Promise ? checked.then(() => job) : job;
}

/** Converts a draft as `prepareJob` does, without checking the payload by its schema. */
export function resolveJob(
  { queue, name, payload, options, flow, trace, sealed }: JobDraft,
  definition: JobDefinition | undefined,
  { parsers, payloadLimit, defaults, now }: PrepareSettings,
): NewJob {
  checkName(name, "job name");
  checkName(queue, "queue name");
  // A backoff function is not stored. It takes precedence over the queue's default, which is not stored either.
  const outer = typeof definition?.backoff === "function" ? { ...defaults, backoff: undefined } : defaults;
  const resolved =
    outer || definition || options
      ? resolveOptions([outer, jobDefaultsOf(definition), options], now, parsers)
      : undefined;
  const job: Writable<NewJob> = { queue, name, payload: payloadText(name, payload, payloadLimit), ...resolved };
  if (flow) job.flow = flow;
  if (trace !== undefined) job.trace = trace;
  if (sealed) job.sealed = sealed;
  return job;
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

function payloadText(name: string, payload: unknown, limit: number): string {
  const text = toJsonText(payload, "payload");
  const bytes = utf8Bytes(text, limit);
  if (bytes <= limit) return text;
  throw new QuaysideError(
    "payload_too_large",
    `The payload of job ${JSON.stringify(name)} has ${bytes} bytes of JSON; at most ${limit} are allowed. Store large data elsewhere and pass its key.`,
    { job: name, bytes, limit },
  );
}
