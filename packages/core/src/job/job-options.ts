import { describe } from "./cut-text.ts";
import { type Duration, toMs } from "./duration.ts";
import { isA, QuaysideError, refused } from "./errors.ts";
import { checkName } from "./job-keys.ts";
import type { DedupeMode, Keep, Requirement, StoredOptions } from "./job-record.ts";
import * as LIMITS from "./limits.ts";
import { fields, integer, oneOf, positiveMs } from "./option-checks.ts";
import { type BackoffOption, resolveBackoff } from "./retry.ts";

/** Job options that a queue or a definition sets for all of its jobs. */
export interface JobDefaults {
  /**
   * Time from the add until the job may be claimed, by the clock of the store: 0 to 100 years. Default 0. An
   * `availableAt` of the job goes before a delay of its definition or queue. A job with a delay is `delayed` until it
   * is due.
   */
  readonly delay?: Duration | undefined;
  /**
   * Integer from −100 to 100; higher goes first. Default 0. Among equal priorities, the earlier instant goes first,
   * then the order of adding.
   */
  readonly priority?: number | undefined;
  /** Attempts in all: integer from 1 to 1,000,000. Default 3. Releases and interruptions count no attempt. */
  readonly maxAttempts?: number | undefined;
  /**
   * The wait before each further attempt: see `BackoffOption`. Default: exponential from 1 s, doubled up to 1 h, with
   * full jitter. An error that asks for a delay (`RetryAfterError`, the header `Retry-After`) goes first.
   */
  readonly backoff?: BackoffOption | undefined;
  /**
   * Longest run of one attempt, from 1 ms. Default none. When it is over, `ctx.signal` is aborted; the attempt fails
   * when the handler returns, or 5 s later. A timeout spends an attempt, and does not count for `maxExceptions`.
   */
  readonly timeout?: Duration | undefined;
  /**
   * Errors thrown after which the job fails for good, even if attempts are left: integer from 1 to 1,000,000.
   * Default: no limit. Timeouts do not count.
   */
  readonly maxExceptions?: number | undefined;
  /**
   * The number of runs cut off by a crash, a closed tab or an eviction at which the job fails for good, with code
   * `interrupted`: integer from 1 to 1,000,000. Default 10. With 1 a job that was cut off never runs again. With 1 or
   * 2 the job is never claimed ahead (`prefetch`).
   */
  readonly maxInterruptions?: number | undefined;
  /**
   * Limits how many jobs with the same `key` (1 to 256 characters) run at once in their queue, over all workers.
   * `limit` is an integer from 1 to 10,000, default 1; the last one given is in force for the whole group. Jobs of a
   * group are never claimed ahead.
   */
  readonly group?: { readonly key: string; readonly limit?: number | undefined } | undefined;
  /**
   * Encrypts payload, result, progress, logs and errors of the job. Default false. The queue needs `encryption`:
   * without it the add fails with `missing_key`. Names, tags, ids and dedupe keys stay readable.
   */
  readonly encrypted?: boolean | undefined;
  /** Labels for `list`, `clear` and `retryAll`: at most 32, of 1 to 128 characters each. Default none. */
  readonly tags?: readonly string[] | undefined;
  /**
   * How many ended jobs of each state the queue keeps when this job ends: integers from 0 to 1,000,000. 0 deletes the
   * job as it ends. Default: the setting of the queue, else 100 completed, 1,000 failed and 100 cancelled.
   */
  readonly keep?: Partial<Keep> | undefined;
  /**
   * `network`: a failure while the network is away (see `Connectivity`) releases the job and spends no attempt. It
   * runs again after a delay that grows up to 1 min, and at once when the network is back. Default none.
   */
  readonly requires?: Requirement | undefined;
  /**
   * Time from the add after which the job is not started any more, from 1 ms; retries are starts, too. It then ends
   * as `failed`, code `expired`, when a claim meets it. Default none. A run that has started goes on.
   */
  readonly expiresIn?: Duration | undefined;
}

/** The dedupe key of a job: while the key is taken, `mode` decides what a further add does (R6). */
export interface DedupeOption {
  /** The key, of 1 to 256 characters, within the queue. */
  readonly key: string;
  /** Effect of an add while the key is taken. Default `drop`. */
  readonly mode?: DedupeMode | undefined;
  /**
   * Time from the add for which the key stays taken although its job has ended, from 1 ms. `throttle` needs it.
   * Default: the key is free when the job ends.
   */
  readonly ttl?: Duration | undefined;
  /**
   * `debounce` only: longest wait from the first add, from 1 ms, however often the delay starts again. Default: no
   * limit.
   */
  readonly maxWait?: Duration | undefined;
}

/** The options of one job. The nearest word wins: job, then definition, then queue. */
export interface JobOptions extends JobDefaults {
  /**
   * Your own id, of 1 to 256 characters, unique in the queue. Default: a generated one. It is the idempotency key: an
   * add of an id that exists answers that job with `deduplicated: true` and writes nothing.
   */
  readonly id?: string | undefined;
  /**
   * The earliest instant to run at: ms since epoch, or a Date; a past one means now. It is turned into a delay by the
   * clock of the caller. It goes before a `delay` of the definition or the queue. Give a job one of the two.
   */
  readonly availableAt?: number | Date | undefined;
  /**
   * Adds no second job while the key is taken. `drop` answers the job that has the key. `replace` gives a waiting job
   * the new payload and options, and a running one a successor. `debounce` also starts the delay again. `throttle`
   * keeps the key for `ttl` after the add, even if the job ends.
   */
  readonly dedupe?: DedupeOption | undefined;
}

/** Options as a driver takes them. */
export interface ResolvedOptions extends StoredOptions {
  readonly id?: string;
  readonly delayMs?: number;
  readonly priority?: number;
  readonly expiresInMs?: number;
}

/** Reads one option of a job: checks its value, and returns the fields of the new job that it becomes. */
export type OptionParser = (value: never, now: number) => object;

/** By the name of the option. */
export type OptionParsers = Readonly<Record<string, OptionParser>>;

/**
 * Merges layers of options, nearest last, and checks each value. `now` turns `availableAt` into a delay.
 *
 * @param parsers one for each option that there is.
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
    for (const option in merged)
      Object.assign(resolved, parsers[option]?.(merged[option as keyof JobOptions] as never, now));
    return resolved;
  } catch (error) {
    if (isA(QuaysideError, error)) throw error;
    throw new QuaysideError("invalid_option", `A job option cannot be read: ${describe(error)}`, {}, error);
  }
}

/** The options of most jobs: none. */
const NO_OPTIONS: ResolvedOptions = Object.freeze({});

const attempts =
  (option: string): OptionParser =>
  (value) => ({ [option]: integer(value, 1, LIMITS.attempts, option) });

/** The options that belong to no plugin. */
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

/** Checks the option alone: the code that prepares the job encrypts it. */
function checkEncrypted(encrypted: boolean): object {
  if (typeof encrypted !== "boolean") throw refused("encrypted", "must be true or false", encrypted);
  return {};
}

const delayed = (delayMs: number): object => (delayMs > 0 ? { delayMs } : {});

/** The nearest defined value of each option; undefined when there is none. A delay and an instant said in different layers do not mix: the nearer wins. */
function merge(layers: readonly (JobOptions | undefined)[], parsers: OptionParsers): JobOptions | undefined {
  let merged: Record<string, unknown> | undefined;
  for (const layer of layers) {
    if (layer !== undefined && layer !== null) fields(layer, "options");
    for (const option in layer) {
      if (!Object.hasOwn(parsers, option))
        throw refused(option, `is no option (known are ${Object.keys(parsers).join(", ")})`, layer[option as never]);
      const value = layer[option as keyof JobOptions];
      if (value === undefined) continue;
      merged ??= {};
      if (option === "delay") delete merged.availableAt;
      else if (option === "availableAt") delete merged.delay;
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

/** @throws {QuaysideError} `invalid_option` when they are not a list of at most 32 texts of 1 to 128 characters each. */
export function checkTags(tags: readonly string[]): readonly string[] {
  if (!Array.isArray(tags) || tags.length > LIMITS.tags)
    throw refused("tags", `must be a list of at most ${LIMITS.tags} texts`, Array.isArray(tags) ? tags.length : tags);
  // Not tags.forEach, which leaves out holes.
  [...tags].forEach((tag, index) => void checkName(tag, `tags[${index}]`, LIMITS.tagLength));
  return tags;
}

export const checkPriority = (priority: number): number =>
  integer(priority, -LIMITS.priority, LIMITS.priority, "priority");

/** @throws {QuaysideError} `invalid_option` when a state is unknown or a number is not a whole one from 0. */
export function resolveKeep(keep: Partial<Keep>): Partial<Keep> {
  for (const [state, count] of Object.entries(fields(keep, "keep", ["completed", "failed", "cancelled"], "keep.")))
    integer(count, 0, LIMITS.keep, `keep.${state}`);
  return { ...keep };
}
