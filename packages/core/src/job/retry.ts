import * as DEFAULTS from "./defaults.ts";
import { type Duration, toMs } from "./duration.ts";
import { invalidOption, isA, isQuaysideError, RetryAfterError, refused } from "./errors.ts";
import type { BackoffFunction } from "./handler.ts";
import type { JobRecord } from "./job-record.ts";
import * as LIMITS from "./limits.ts";
import { fields } from "./option-checks.ts";

/** The backoff of a job in stored form: the delays in ms. */
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
 * The wait of a failed job before its next attempt. A duration is `fixed`; a list has the delay after each failure, the
 * last one repeating. `jitter` is the random share of the delay (0 to 1).
 *
 * @example
 * { kind: "exponential", delay: "1s", max: "1h", jitter: 0.5 }   // 1 s, 2 s, 4 s … each between half and whole
 * ["1s", "10s", "1m"]
 */
export type BackoffOption = Duration | readonly Duration[] | BackoffRule;

/** A backoff with a growing delay: see `BackoffOption`. */
export interface BackoffRule {
  /**
   * Growth of the delay: `fixed` repeats it, `linear` adds it once more per failure, `exponential` multiplies it by
   * `factor`.
   */
  readonly kind: "fixed" | "linear" | "exponential";
  /** Delay after the first failure: 0 to 100 years. */
  readonly delay: Duration;
  /** Multiplier of `exponential`: 1 to 100. Default 2. */
  readonly factor?: number | undefined;
  /** Longest delay. Default one hour. */
  readonly max?: Duration | undefined;
  /** The random share of the delay: 0 (none) to 1 (all of it). Default 0. */
  readonly jitter?: number | undefined;
}

/**
 * Checks and resolves a `backoff` option.
 *
 * @throws {QuaysideError} `invalid_option` naming the wrong part of `backoff`.
 */
export function resolveBackoff(option: BackoffOption): Backoff {
  if (Array.isArray(option)) {
    const delays = option as readonly Duration[];
    if (delays.length === 0) throw refused("backoff", "must list at least one delay", "[]");
    return {
      kind: "list",
      delaysMs: Array.from(delays, (delay, index) => toMs(delay, `backoff[${index}]`)),
      jitter: 0,
    };
  }
  const isDuration = typeof option === "number" || typeof option === "string";
  const rule = isDuration ? { kind: "fixed" as const, delay: option } : (option as Partial<BackoffRule> | null);
  if (!["fixed", "linear", "exponential"].includes(rule?.kind as string)) {
    throw refused(
      "backoff",
      'must be a duration, a list of durations, or { kind: "fixed" | "linear" | "exponential", delay }',
      option,
    );
  }
  const { kind, delay, factor, max, jitter } = fields(rule as BackoffRule, "backoff", BACKOFF_FIELDS, "backoff.");
  const delayMs = toMs(delay, isDuration ? "backoff" : "backoff.delay");
  const maxMs = toMs(max ?? DEFAULTS.backoff.maxMs, "backoff.max");
  const shared = { delayMs, maxMs, jitter: within(jitter ?? 0, 0, 1, "backoff.jitter") };
  return kind === "exponential"
    ? { kind, factor: within(factor ?? 2, 1, LIMITS.backoffFactor, "backoff.factor"), ...shared }
    : { kind, ...shared };
}

const BACKOFF_FIELDS = ["kind", "delay", "factor", "max", "jitter"];

function within(value: number, least: number, most: number, option: string): number {
  if (typeof value !== "number" || !(value >= least && value <= most)) {
    throw refused(option, `must be a number from ${least} to ${most}`, value);
  }
  return value;
}

/** Returns the delay in ms after failure number `failures` (from 1). `random` is a number in [0, 1). */
export function backoffDelay(backoff: Backoff, failures: number, random: number): number {
  const whole = wholeDelay(backoff, Math.max(1, failures));
  return Math.round(whole * (1 - backoff.jitter) + whole * backoff.jitter * random);
}

function wholeDelay(backoff: Backoff, failures: number): number {
  if (backoff.kind === "list") return backoff.delaysMs[Math.min(failures, backoff.delaysMs.length) - 1] ?? 0;
  const { kind, delayMs, maxMs } = backoff;
  const growth = kind === "linear" ? failures : kind === "exponential" ? backoff.factor ** (failures - 1) : 1;
  return Math.min(delayMs * growth, maxMs);
}

/** Returns whether an error makes further attempts useless. */
export const isFinal = (error: unknown): boolean =>
  isQuaysideError(error, "unrecoverable", "invalid_payload", "invalid_result", "unknown_job");

/**
 * Returns the ms until the next attempt by the backoff stored with the job; undefined if no attempt is left. `random`
 * is in [0, 1).
 */
export const retryDelay = (job: JobRecord, random: number): number | undefined =>
  job.attempts < job.maxAttempts ? backoffDelay(job.backoff ?? DEFAULTS.backoff, job.attempts, random) : undefined;

/** Functions of a definition that decide about retries. They are not stored. */
export interface RetryPolicy {
  readonly retryIf?: ((error: unknown, attempt: number) => boolean) | undefined;
  readonly backoff?: BackoffFunction | undefined;
}

export interface FailedAttempt {
  readonly job: JobRecord;
  readonly error: unknown;
  /** Whether the attempt timed out. A timeout counts as an attempt but not as an exception. */
  readonly timedOut: boolean;
  readonly now: number;
  /** A random number in [0, 1). */
  readonly random: number;
}

/**
 * Returns the ms until the next attempt, or undefined if the job has failed for good: the error is final, no attempt is
 * left, or `retryIf` returned false. The delay is that of the error (`RetryAfterError`, an HTTP `Retry-After`), else
 * the backoff stored with the job, else the definition's function, else the default.
 *
 * @throws the error of the policy's functions.
 */
export function decideRetry(failed: FailedAttempt, policy: RetryPolicy | undefined): number | undefined {
  const { job, error, timedOut, now, random } = failed;
  if (!timedOut && job.maxExceptions !== undefined && job.exceptions + 1 >= job.maxExceptions) return undefined;
  // A retry would neither decrypt the payload nor shorten the result.
  if (isFinal(error) || isQuaysideError(error, "decryption_failed", "result_too_large")) return undefined;
  const retryMs = retryDelay(job, random);
  if (retryMs === undefined || atOnce(policy?.retryIf?.(error, job.attempts), "retryIf") === false) return undefined;
  if (isA(RetryAfterError, error)) return toMs(error.delay, "RetryAfterError.delay");
  const asked = httpRetryAfter(error, now);
  // No header, or one that cannot be read, is not a number.
  if (asked >= 0) return Math.min(asked, LONGEST_MS);
  if (!policy?.backoff || job.backoff) return retryMs;
  const delay = atOnce(policy.backoff(job.attempts, error), "backoff");
  return delay === "fail" ? undefined : toMs(delay, "backoff");
}

/**
 * Returns the answer of a function of the policy, unless it is a promise.
 *
 * @throws {QuaysideError} for a promise: its result would be too late, and its rejection would be unhandled.
 */
function atOnce<T>(answer: T, name: string): T {
  if (typeof (answer as { then?: unknown } | undefined)?.then !== "function") return answer;
  Promise.resolve(answer).catch(() => {});
  throw invalidOption(name, `${name} returned a promise. It must return its answer at once.`);
}

interface HasHeaders {
  readonly headers?: { get?(name: string): unknown } | undefined;
}

/** Longest accepted `Retry-After`, in ms. */
const LONGEST_MS = 86_400_000;

/**
 * Returns the ms that a server asked to wait, if the error is an HTTP response or has one. NaN: the error or its header
 * could not be read.
 */
function httpRetryAfter(error: unknown, now: number): number {
  try {
    if (isQuaysideError(error, "rate_limited", "queue_full")) return Number(error.details["retryAfterMs"]);
    const { headers, response } = error as HasHeaders & { readonly response?: HasHeaders | undefined };
    return Number(retryAfterMs((headers ?? response?.headers)?.get?.("retry-after"), now));
  } catch {
    return Number.NaN;
  }
}

/**
 * Parses a `Retry-After` header to ms: whole seconds, or the time until an HTTP date (0 if it is past). Undefined for
 * any other text, even if `Date.parse` would accept it.
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
