import * as DEFAULTS from "./defaults.ts";
import { type Duration, toMs } from "./duration.ts";
import { hasCode, invalidOption, isA, RetryAfterError, refused } from "./errors.ts";
import type { BackoffFunction } from "./handler.ts";
import type { JobRecord } from "./job-record.ts";
import * as LIMITS from "./limits.ts";
import { fields } from "./option-checks.ts";

/** A resolved, storable retry delay rule. */
export type Backoff =
  | { readonly kind: "fixed" | "linear"; readonly delayMs: number; readonly maxMs: number; readonly jitter: number }
  | {
      readonly kind: "exponential";
      readonly delayMs: number;
      readonly factor: number;
      readonly maxMs: number;
      readonly jitter: number;
    }
  | { readonly kind: "list"; readonly delaysMs: readonly number[]; readonly jitter: number };

/**
 * How long a failed job waits before its next attempt. A duration is `fixed`; a list gives the delay after the first,
 * second … failure, the last repeating. `jitter` is the share of the delay (0 to 1) that is random.
 *
 * @example
 * { kind: "exponential", delay: "1s", max: "1h", jitter: 0.5 }   // 1 s, 2 s, 4 s … each between half and whole
 * ["1s", "10s", "1m"]
 */
export type BackoffOption =
  | Duration
  | readonly Duration[]
  | {
      readonly kind: "fixed" | "linear" | "exponential";
      readonly delay: Duration;
      /** Multiplier of `exponential`. Default 2. */
      readonly factor?: number;
      /** Longest delay. Default one hour. */
      readonly max?: Duration;
      /** 0 (none) to 1 (anything from 0 to the delay). Default 0, and 1 for the default policy. */
      readonly jitter?: number;
    };

/** @throws {QuaysideError} `invalid_option` naming the part of `backoff` that is wrong. */
export function resolveBackoff(option: BackoffOption): Backoff {
  if (typeof option === "number" || typeof option === "string") {
    return { kind: "fixed", delayMs: toMs(option, "backoff"), maxMs: DEFAULTS.backoff.maxMs, jitter: 0 };
  }
  if (Array.isArray(option)) {
    const delays = option as readonly Duration[];
    if (delays.length === 0) throw refused("backoff", "must list at least one delay", "[]");
    return {
      kind: "list",
      delaysMs: Array.from(delays, (delay, index) => toMs(delay, `backoff[${index}]`)),
      jitter: 0,
    };
  }
  const rule = option as Exclude<BackoffOption, Duration | readonly Duration[]>;
  if (rule === null || typeof rule !== "object" || !["fixed", "linear", "exponential"].includes(rule.kind)) {
    throw refused(
      "backoff",
      'must be a duration, a list of durations, or { kind: "fixed" | "linear" | "exponential", delay }',
      option,
    );
  }
  fields(rule, "backoff", ["kind", "delay", "factor", "max", "jitter"], "backoff.");
  const delayMs = toMs(rule.delay, "backoff.delay");
  const maxMs = toMs(rule.max ?? DEFAULTS.backoff.maxMs, "backoff.max");
  const jitter = within(rule.jitter ?? 0, 0, 1, "backoff.jitter");
  if (rule.kind !== "exponential") return { kind: rule.kind, delayMs, maxMs, jitter };
  return {
    kind: "exponential",
    delayMs,
    factor: within(rule.factor ?? 2, 1, LIMITS.backoffFactor, "backoff.factor"),
    maxMs,
    jitter,
  };
}

function within(value: number, least: number, most: number, option: string): number {
  if (typeof value !== "number" || !(value >= least && value <= most)) {
    throw refused(option, `must be a number from ${least} to ${most}`, value);
  }
  return value;
}

/** Delay in ms after the `failures`-th failure (from 1). `random` is a number in [0, 1). */
export function backoffDelay(backoff: Backoff, failures: number, random: number): number {
  const whole = wholeDelay(backoff, Math.max(1, failures));
  return Math.round(whole * (1 - backoff.jitter) + whole * backoff.jitter * random);
}

function wholeDelay(backoff: Backoff, failures: number): number {
  switch (backoff.kind) {
    case "fixed":
      return Math.min(backoff.delayMs, backoff.maxMs);
    case "linear":
      return Math.min(backoff.delayMs * failures, backoff.maxMs);
    case "exponential":
      return Math.min(backoff.delayMs * backoff.factor ** (failures - 1), backoff.maxMs);
    case "list":
      return backoff.delaysMs[Math.min(failures, backoff.delaysMs.length) - 1] ?? 0;
  }
}

/** Whether another attempt cannot go better. */
export const isFinal = (error: unknown): boolean =>
  hasCode(error, "unrecoverable", "invalid_payload", "invalid_result", "unknown_job");

/**
 * Ms until the next attempt of a job whose attempt just failed, or undefined when it has failed for good.
 * `attempt` counts from 1; `random` is in [0, 1).
 */
export function retryDelay(
  job: { readonly maxAttempts: number; readonly backoff?: Backoff | undefined },
  attempt: number,
  error: unknown,
  random: number,
): number | undefined {
  if (attempt >= job.maxAttempts) return undefined;
  if (isA(RetryAfterError, error)) return toMs(error.delay, "RetryAfterError.delay");
  if (isFinal(error)) return undefined;
  return backoffDelay(job.backoff ?? DEFAULTS.backoff, attempt, random);
}

/** Functions of a definition that decide about the errors of its jobs. They are not stored. */
export interface RetryPolicy {
  readonly retryIf?: ((error: unknown, attempt: number) => boolean) | undefined;
  readonly backoff?: BackoffFunction | undefined;
}

export interface FailedAttempt {
  readonly job: JobRecord;
  readonly error: unknown;
  /** A timeout counts as an attempt but not as an exception. */
  readonly timedOut: boolean;
  readonly now: number;
  /** In [0, 1). */
  readonly random: number;
}

/**
 * Ms until the next attempt; undefined when the job has failed for good. What ends a job goes before what delays it; of
 * the delays the error's own word (`RetryAfterError`, an HTTP `Retry-After`) goes first, then a backoff stored with the
 * job, then the definition's function, then the default.
 *
 * @throws what the policy's functions throw.
 */
export function decideRetry(failed: FailedAttempt, policy: RetryPolicy | undefined): number | undefined {
  const { job, error, timedOut, now, random } = failed;
  if (!timedOut && job.maxExceptions !== undefined && job.exceptions + 1 >= job.maxExceptions) return undefined;
  // The payload will not become readable by trying again, nor the result smaller.
  if (hasCode(error, "decryption_failed", "result_too_large")) return undefined;
  const retryMs = retryDelay(job, job.attempts, error, random);
  if (retryMs === undefined || atOnce(policy?.retryIf?.(error, job.attempts), "retryIf") === false) return undefined;
  if (isA(RetryAfterError, error)) return retryMs;
  const asked = httpRetryAfter(error, now);
  if (asked !== undefined) return asked;
  if (!policy?.backoff || job.backoff) return retryMs;
  const delay = atOnce(policy.backoff(job.attempts, error), "backoff");
  return delay === "fail" ? undefined : toMs(delay, "backoff");
}

/** @throws {QuaysideError} for a promise: its answer would come too late, and its rejection would be unhandled. */
function atOnce<T>(answer: T, name: string): T {
  if (typeof (answer as { then?: unknown } | undefined)?.then !== "function") return answer;
  Promise.resolve(answer).catch(() => {});
  throw invalidOption(name, `${name} returned a promise. It must return its answer at once.`);
}

interface HasHeaders {
  readonly headers?: { get?(name: string): unknown };
}

/** Longest wait that a server may ask for. */
const LONGEST_MS = 86_400_000;

/**
 * The wait that a server asked for, where the error carries its response (or is one). An error that cannot be read, and a
 * header that is neither whole seconds nor a date, ask for nothing.
 */
function httpRetryAfter(error: unknown, now: number): number | undefined {
  try {
    if (hasCode(error, "rate_limited")) {
      const asked = Number(error.details["retryAfterMs"]);
      return asked >= 0 ? Math.min(asked, LONGEST_MS) : undefined;
    }
    const { headers, response } = error as HasHeaders & { readonly response?: HasHeaders };
    const ms = retryAfterMs((headers ?? response?.headers)?.get?.("retry-after"), now);
    return ms === undefined ? undefined : Math.min(ms, LONGEST_MS);
  } catch {
    return undefined;
  }
}

/**
 * Ms that a `Retry-After` header asks for: whole seconds, or the time until an HTTP date (0 when it is past). Undefined
 * for anything else, which `Date.parse` would take for a year.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
 */
export function retryAfterMs(header: unknown, now: number): number | undefined {
  if (typeof header !== "string") return undefined;
  const text = header.trim();
  if (/^\d{1,15}$/.test(text)) return Number(text) * 1_000;
  if (!/^[A-Z][a-z]{2,8},? .*\d\d:\d\d:\d\d/.test(text)) return undefined;
  const ms = Date.parse(text) - now;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
