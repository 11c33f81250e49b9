import { describe } from "./cut-text.ts";
import { type Duration, toMs } from "./duration.ts";
import { isA, QuaysideError, refused } from "./errors.ts";
import { checkName } from "./job-keys.ts";
import type { Keep, Requirement, StoredOptions } from "./job-record.ts";
import * as LIMITS from "./limits.ts";
import { fields, integer, oneOf, positiveMs } from "./option-checks.ts";
import { type BackoffOption, resolveBackoff } from "./retry.ts";

/** Job options that a queue or a definition can set for all of its jobs. */
export interface JobDefaults {
  /**
   * Time from the add until the job may be claimed, by the store's clock: 0 to 100 years. Default: 0. A job's
   * `availableAt` takes precedence over a delay of its definition or queue. Until it is due, the job is `delayed`.
   */
  readonly delay?: Duration | undefined;
  /**
   * Priority: integer from −100 to 100; higher runs first. Default: 0. Jobs of equal priority run by `availableAt`,
   * then in the order of adding.
   */
  readonly priority?: number | undefined;
  /** Maximum number of attempts: integer from 1 to 1,000,000. Default: 3. Releases and interruptions do not count. */
  readonly maxAttempts?: number | undefined;
  /**
   * Wait before each further attempt: see `BackoffOption`. Default: exponential from 1 s, doubled up to 1 h, with full
   * jitter. A delay that the error names (`RetryAfterError`, the header `Retry-After`) takes precedence.
   */
  readonly backoff?: BackoffOption | undefined;
  /**
   * Longest run of one attempt, from 1 ms. Default: none. At the timeout, `ctx.signal` is aborted; the attempt fails
   * when the handler returns, or 5 s later. A timeout counts as an attempt, but not for `maxExceptions`.
   */
  readonly timeout?: Duration | undefined;
  /**
   * Number of thrown errors after which the job fails for good, even if attempts are left: integer from 1 to 1,000,000.
   * Default: no limit. Timeouts do not count.
   */
  readonly maxExceptions?: number | undefined;
  /**
   * Number of interruptions (a crash, a closed tab or an eviction) after which the job fails for good with code
   * `interrupted`: integer from 1 to 1,000,000. Default: 10. With 1, an interrupted job never runs again. With 1 or 2,
   * the job is never claimed ahead (`prefetch`).
   */
  readonly maxInterruptions?: number | undefined;
  /**
   * Limits how many jobs with the same `key` (1 to 256 characters) run at once in their queue, over all workers.
   * `limit` is an integer from 1 to 10,000; default: 1; the last given limit applies to the whole group. Jobs of a
   * group are never claimed ahead.
   */
  readonly group?: { readonly key: string; readonly limit?: number | undefined } | undefined;
  /**
   * Whether payload, result, progress, logs and errors of the job are encrypted. Default: false. Requires `encryption`
   * of the queue; without it, the add fails with `missing_key`. Names, tags, ids and dedupe keys are not encrypted.
   */
  readonly encrypted?: boolean | undefined;
  /** Labels for `list`, `clear` and `retryAll`: at most 32, of 1 to 128 characters each. Default: none. */
  readonly tags?: readonly string[] | undefined;
  /**
   * Number of ended jobs of each state that the queue keeps when this job ends: integers from 0 to 1,000,000. With 0,
   * the job is deleted when it ends. Default: the queue's setting, else 100 completed, 1,000 failed and 100 cancelled.
   */
  readonly keep?: Partial<Keep> | undefined;
  /**
   * `network`: if the job fails while offline (see `Connectivity`), it is released without counting an attempt. It runs
   * again after a delay that grows up to 1 min, or at once when the network is back. Default: none.
   */
  readonly requires?: Requirement | undefined;
  /**
   * Time from the add after which the job is no longer started, from 1 ms; this includes retries. It then ends as
   * `failed`, code `expired`, at the next claim that reaches it. Default: none. A running attempt continues.
   */
  readonly expiresIn?: Duration | undefined;
}

/**
 * The option `dedupe` of a job: prevents a second job with the same key. While the key is taken, `mode` decides about
 * further adds (R6).
 *
 * @example
 * await queue.addJob("save", draft, { dedupe: { key: draft.id, mode: "debounce", wait: "2s", maxWait: "30s" } });
 */
export type DedupeOption = DedupeKey &
  (
    | {
        /**
         * `drop` returns the job that has the key. `replace` gives a waiting job the new payload and options, and a
         * running one a successor. Default: `drop`.
         */
        readonly mode?: "drop" | "replace" | undefined;
        readonly wait?: undefined;
        readonly maxWait?: undefined;
      }
    | {
        /** As `replace`; each add also restarts the wait, so that the job runs after the last of several adds. */
        readonly mode: "debounce";
        /** Delay of the job from the last add, up to 100 years. It takes precedence over the option `delay`. */
        readonly wait: Duration;
        /** Longest delay from the first add, from 1 ms, however often the job is added again. Default: no limit. */
        readonly maxWait?: Duration | undefined;
      }
    | {
        /** As `drop`, also if the job has ended: the key stays taken for `ttl`. */
        readonly mode: "throttle";
        readonly ttl: Duration;
        readonly wait?: undefined;
        readonly maxWait?: undefined;
      }
  );

interface DedupeKey {
  /** The key, of 1 to 256 characters, unique within the queue. */
  readonly key: string;
  /**
   * Time from the add for which the key stays taken even if its job has ended, from 1 ms. Required for `throttle`.
   * Default: the key is free when the job ends.
   */
  readonly ttl?: Duration | undefined;
}

/**
 * Options of one job. They take precedence over the options of its definition; those take precedence over the queue's.
 */
export interface JobOptions extends JobDefaults {
  /**
   * Your own id, of 1 to 256 characters, unique in the queue. Default: generated. Adding an id that exists returns the
   * existing job with `deduplicated: true` and writes nothing.
   */
  readonly id?: string | undefined;
  /**
   * Earliest time to run: ms since epoch, or a Date; a past one means now. Converted to a delay by the caller's clock.
   * Takes precedence over a `delay` of the definition or queue. Do not set it together with `delay`.
   */
  readonly availableAt?: number | Date | undefined;
  /** Prevents a second job while the key is taken: see `DedupeOption`. Default: none. */
  readonly dedupe?: DedupeOption | undefined;
}

/** The options of a job after their check, in the form in which drivers take them. */
export interface ResolvedOptions extends StoredOptions {
  readonly id?: string | undefined;
  readonly delayMs?: number | undefined;
  readonly priority?: number | undefined;
  readonly expiresInMs?: number | undefined;
}

/** Checks the value of one job option and returns the fields of the new job that it sets. `now`: the caller's clock. */
export type OptionParser = (value: never, now: number) => object;

/** Parsers of job options, by the name of the option. */
export type OptionParsers = Readonly<Record<string, OptionParser>>;

/**
 * Merges layers of options (a later layer takes precedence), checks each value and returns the fields for the new job.
 * `now` converts `availableAt` to a delay.
 *
 * @param parsers a parser for each known option.
 * @throws {QuaysideError} `invalid_option` naming the option.
 */
export function resolveOptions(
  layers: readonly (JobOptions | undefined)[],
  now: number,
  parsers: OptionParsers,
): ResolvedOptions {
  try {
    const merged = merge(layers, parsers);
    if (!merged) return NO_OPTIONS;
    const resolved: ResolvedOptions = {};
    for (const option in merged) {
      const value = merged[option as keyof JobOptions];
      if (value !== undefined) Object.assign(resolved, parsers[option]?.(value as never, now));
    }
    return resolved;
  } catch (error) {
    if (isA(QuaysideError, error)) throw error;
    throw new QuaysideError("invalid_option", `A job option cannot be read: ${describe(error)}`, {}, error);
  }
}

/** The resolved options of a job without options. One object, because most jobs have none. */
const NO_OPTIONS: ResolvedOptions = Object.freeze({});

const attempts =
  (option: string): OptionParser =>
  (value) => ({ [option]: integer(value, 1, LIMITS.attempts, option) });

/** Parsers of the options that belong to no plugin. */
export const KERNEL_OPTIONS: OptionParsers = {
  id: (id) => ({ id: checkName(id, "id") }),
  delay: (delay) => delayed(toMs(delay, "delay")),
  availableAt: (instant, now) => delayed(delayUntil(instant, now)),
  priority: (priority) => (checkPriority(priority) === 0 ? {} : { priority }),
  maxAttempts: attempts("maxAttempts"),
  maxExceptions: attempts("maxExceptions"),
  maxInterruptions: attempts("maxInterruptions"),
  backoff: (backoff) => ({ backoff: resolveBackoff(backoff) }),
  timeout: (timeout) => ({ timeoutMs: positiveMs(timeout, "timeout") }),
  encrypted: checkEncrypted,
  tags: (tags: readonly string[]) => (checkTags(tags).length > 0 ? { tags: [...tags] } : {}),
  keep: (keep) => ({ keep: resolveKeep(keep) }),
  requires: (requires) => ({ requires: oneOf<Requirement>(requires, ["network"], "requires") }),
};

/** Checks the option `encrypted`; it sets no field. The code that prepares the job encrypts the job. */
function checkEncrypted(encrypted: boolean): object {
  if (typeof encrypted !== "boolean") throw refused("encrypted", "must be true or false", encrypted);
  return {};
}

const delayed = (delayMs: number): object => (delayMs > 0 ? { delayMs } : {});

/**
 * Returns the value of each option from the last layer that defines it; undefined if no layer has options. If one layer
 * has a delay and another `availableAt`, only the later layer's is kept.
 */
function merge(layers: readonly (JobOptions | undefined)[], parsers: OptionParsers): JobOptions | undefined {
  let merged: Record<string, unknown> | undefined;
  for (const layer of layers) {
    if (layer !== undefined && layer !== null) fields(layer, "options");
    for (const option in layer) {
      if (!Object.hasOwn(parsers, option))
        throw refused(option, `is no option (known are ${Object.keys(parsers).join(", ")})`, layer[option as never]);
      const value = layer[option as keyof JobOptions];
      if (value === undefined) continue;
      // The first options are parsed first; the others take precedence, such as the `wait` of a debounced job.
      merged ??= { delay: undefined, availableAt: undefined };
      if (option === "delay") merged["availableAt"] = undefined;
      else if (option === "availableAt") merged["delay"] = undefined;
      merged[option] = value;
    }
  }
  return merged;
}

function delayUntil(instant: number | Date, now: number): number {
  const at = isA(Date, instant) ? instant.getTime() : instant;
  if (!Number.isFinite(at)) throw refused("availableAt", "must be ms since epoch or a valid Date", instant);
  return toMs(Math.max(0, Math.round(at - now)), "availableAt");
}

/**
 * Checks tags.
 *
 * @throws {QuaysideError} `invalid_option` if they are not a list of at most 32 texts of 1 to 128 characters each.
 */
export function checkTags(tags: readonly string[]): readonly string[] {
  if (!Array.isArray(tags) || tags.length > LIMITS.tags)
    throw refused("tags", `must be a list of at most ${LIMITS.tags} texts`, Array.isArray(tags) ? tags.length : tags);
  // `tags.forEach` would skip holes.
  [...tags].forEach((tag, index) => void checkName(tag, `tags[${index}]`, LIMITS.tagLength));
  return tags;
}

export const checkPriority = (priority: number): number =>
  integer(priority, -LIMITS.priority, LIMITS.priority, "priority");

/**
 * Checks a `keep` option.
 *
 * @throws {QuaysideError} `invalid_option` if a state is unknown or a number is not an integer from 0.
 */
export function resolveKeep(keep: Partial<Keep>): Partial<Keep> {
  for (const [state, count] of Object.entries(fields(keep, "keep", ["completed", "failed", "cancelled"], "keep.")))
    integer(count, 0, LIMITS.keep, `keep.${state}`);
  return { ...keep };
}
