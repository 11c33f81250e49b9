import { DEFAULTS, type JobRecord, type Keep } from "@quayside/core";
import type { NewJob, StoredOptions } from "@quayside/core/engine";

/**
 * Payload of a job in the outbox: contains the job that will be sent. Options for the remote (groups, dedupe, attempts,
 * the delay) are only in this payload, so that the local store does not apply them. Name, tags, priority and expiry are
 * also options of the local job.
 */
interface Sealed {
  /** The job's own payload as JSON text, sent unchanged. */
  readonly payload: string;
  readonly options?: Omit<StoredOptions, "tags"> | undefined;
  readonly delayMs?: number | undefined;
  /** Time at which the delay ends, in ms since epoch. */
  readonly dueAt?: number | undefined;
  readonly expiresInMs?: number | undefined;
}

/** Setting of the local queue: deletes delivered jobs, and keeps refused ones until the app retries or removes them. */
const KEEP: Keep = { ...DEFAULTS.keep, completed: 0, failed: 1_000_000 };

export function seal(job: NewJob, local: string, now: number): NewJob {
  const { id, name, priority, tags, expiresInMs, queue: _, flow: __, payload, delayMs, ...options } = job;
  const sealed: Sealed = {
    payload,
    ...(Object.keys(options).length > 0 && { options }),
    ...(delayMs && { delayMs, dueAt: now + delayMs }),
    ...(expiresInMs !== undefined && { expiresInMs }),
  };
  return {
    queue: local,
    name,
    payload: JSON.stringify(sealed),
    keep: KEEP,
    ...(id !== undefined && { id }),
    ...(priority && { priority }),
    ...(tags && { tags }),
    ...(expiresInMs !== undefined && { expiresInMs }),
  };
}

const sealedIn = (record: JobRecord): Sealed => record.payload as Sealed;

/**
 * Returns the job to send, with its local id and the remaining delay and time to live. After the clock was set back,
 * delay and time to live are at most as long as when the job was added.
 */
export function unseal(record: JobRecord, queue: string, now: number): NewJob {
  const { payload, options, delayMs = 0, dueAt = 0, expiresInMs = Number.POSITIVE_INFINITY } = sealedIn(record);
  const left = Math.min(delayMs, dueAt - now);
  return {
    ...options,
    queue,
    name: record.name,
    payload,
    id: record.id,
    ...(record.priority !== 0 && { priority: record.priority }),
    ...(record.tags.length > 0 && { tags: record.tags }),
    ...(left > 0 && { delayMs: left }),
    ...(record.expiresAt !== undefined && { expiresInMs: Math.min(expiresInMs, Math.max(1, record.expiresAt - now)) }),
  };
}

/** Returns the text of which a batch's digest is made: all fields of a job except those that change with time. */
export function contentOf({ delayMs: _, expiresInMs: __, ...content }: NewJob): string {
  return JSON.stringify(content);
}

/** Returns the payload of an outbox job after the app has changed the job's own payload or delay. */
export function reseal(
  record: JobRecord,
  {
    payload,
    sealed,
    delayMs,
  }: {
    readonly payload?: string | undefined;
    readonly sealed?: true | undefined;
    readonly delayMs?: number | undefined;
  },
  now: number,
): string {
  const { delayMs: _, dueAt: __, options, ...rest } = sealedIn(record);
  const { sealed: before, ...others } = options ?? {};
  const encrypted = payload === undefined ? before : sealed;
  const next = { ...others, ...(encrypted && { sealed: encrypted }) };
  const delay = delayMs === undefined ? { delayMs: _, dueAt: __ } : delayMs > 0 && { delayMs, dueAt: now + delayMs };
  return JSON.stringify({
    ...rest,
    ...(Object.keys(next).length > 0 && { options: next }),
    ...delay,
    ...(payload !== undefined && { payload }),
  });
}

export const isDelayed = (record: JobRecord, now: number): boolean => (sealedIn(record).dueAt ?? 0) > now;

/**
 * Returns the job as the app added it. An undelivered job is `waiting` with `blockedBy: "outbox"`, even while it is
 * being sent, because no attempt has begun.
 */
export function shown(record: JobRecord, queue: string): JobRecord {
  const { payload, options = {}, dueAt } = sealedIn(record);
  const { keep: _, ...visible } = options;
  const ended = record.state === "failed" || record.state === "cancelled";
  const { startedAt: __, ...rest } = record;
  return {
    ...rest,
    ...visible,
    queue,
    payload: JSON.parse(payload),
    state: ended ? record.state : "waiting",
    availableAt: dueAt ?? record.availableAt,
    attempts: 0,
    maxAttempts: options.maxAttempts ?? DEFAULTS.maxAttempts,
    ...(!ended && { blockedBy: "outbox" }),
  };
}
