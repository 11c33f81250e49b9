import { QuaysideError } from "./errors.ts";
import { checkName } from "./job-keys.ts";
import { type JobDefinition, jobDefaultsOf, validatePayload } from "./job-map.ts";
import { type JobDefaults, type JobOptions, type OptionParsers, resolveOptions } from "./job-options.ts";
import { toJsonText, utf8Bytes } from "./json.ts";
import type { FlowPart, NewJob } from "./new-job.ts";

/** A job as its caller writes it, on its way to a queue. */
export interface JobDraft {
  readonly queue: string;
  readonly name: string;
  readonly payload: unknown;
  readonly options?: JobOptions | undefined;
  readonly flow?: FlowPart | undefined;
  /** W3C trace context of the add. */
  readonly trace?: string | undefined;
  /** The payload is encrypted already: its schema is checked where it is decrypted. */
  readonly sealed?: true | undefined;
  /** Path in its flow, for errors: `children[2]`; empty for the root. */
  readonly at?: string;
}

/** Settings of `prepareJob`, besides the job and its definition. */
export interface PrepareSettings {
  /** The job options that there are, by name. */
  readonly parsers: OptionParsers;
  /** Largest payload in bytes of JSON. */
  readonly payloadLimit: number;
  /** Options of all jobs of the queue, unless definition or job says otherwise. */
  readonly defaults?: JobDefaults | undefined;
  /** The current time, by the clock of the caller: it turns `availableAt` into a delay. */
  readonly now: number;
}

/**
 * Turns a draft into the job that a driver takes: names checked, options resolved, payload as JSON text within its limit
 * and accepted by its schema. Returns a promise only where the schema does. Queues and the HTTP API both call it.
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
  // Checks what the handler will get. The worker checks again, and gives the handler what the schema returns.
  const checked = validatePayload(draft.name, definition, JSON.parse(job.payload));
  return checked instanceof Promise ? checked.then(() => job) : job;
}

/** As `prepareJob`, without the schema. */
export function resolveJob(
  { queue, name, payload, options, flow, trace, sealed }: JobDraft,
  definition: JobDefinition | undefined,
  { parsers, payloadLimit, defaults, now }: PrepareSettings,
): NewJob {
  checkName(name, "job name");
  checkName(queue, "queue name");
  // A backoff that is a function is not stored. It overrules the default of the queue, so that one is not stored either.
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
