import { DEFAULTS, type JobRecord, type Keep } from "@quayside/core";
import type { NewJob, StoredOptions } from "@quayside/core/engine";

/**
 * A job as it lies in the outbox: a job of the local store whose payload is the job to come. What is the remote's
 * business (groups, dedupe, attempts, the delay) is sealed in, so that the local store does not act on it; what is of
 * use here (name, tags, priority, expiry) stands outside.
 */
interface Sealed {
  /** JSON text, to be handed on as it is. */
  readonly payload: string;
  readonly options?: Omit<StoredOptions, "tags">;
  readonly delayMs?: number;
  /** When the delay ends. */
  readonly dueAt?: number;
  readonly expiresInMs?: number;
}

/** A delivered job leaves nothing; a refused one stays until somebody has seen to it. */
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
 * The job to send, under the id it has here. Of its delay, and of its time to live, what is left now; after the clock was
 * set back no more than was asked.
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

/** What makes a job the job that it is, whenever it is sent: without what time changes. */
export function contentOf({ delayMs: _, expiresInMs: __, ...content }: NewJob): string {
  return JSON.stringify(content);
}

/** The payload of a sealed job with something changed. */
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
 * The job as its owner knows it. One that is not delivered waits, `blockedBy: "outbox"`, whether it lies here or is on
 * its way: no attempt at it has begun.
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
