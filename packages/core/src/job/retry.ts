import { fields } from "./checks.ts";
import { DEFAULTS } from "./defaults.ts";
import { type Duration, toMs } from "./duration.ts";
import { hasCode, isA, RetryAfterError, refused } from "./errors.ts";
import { LIMITS } from "./limits.ts";

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
