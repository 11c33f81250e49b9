import { type Duration, toMs } from "./duration.ts";
import { isA, QuaysideError, refused, toStoredError } from "./errors.ts";
import { checkName } from "./job-keys.ts";
import type { DedupeMode, Keep, Requirement, StoredOptions } from "./job-record.ts";
import { LIMITS } from "./limits.ts";
import { fields, integer, oneOf, positiveMs } from "./option-checks.ts";
import { type BackoffOption, resolveBackoff } from "./retry.ts";

/** Job options that a queue or a definition sets for all of its jobs. */
export interface JobDefaults {
  /** Wait before the job may be claimed. Default none. */
  readonly delay?: Duration | undefined;
  /** Integer from −100 to 100, higher first. Default 0. */
  readonly priority?: number | undefined;
  /** Attempts in all, from 1. Default 3. */
  readonly maxAttempts?: number | undefined;
  /** Default exponential from 1 s, doubled, at most 1 h, full jitter. */
  readonly backoff?: BackoffOption | undefined;
  /** Longest run of one attempt; then its signal is aborted. Default none. */
  readonly timeout?: Duration | undefined;
  /** Errors thrown (timeouts are none) after which it fails for good, whatever attempts are left. Default no limit. */
  readonly maxExceptions?: number | undefined;
  /** Runs cut off by a crash, a closed tab or an eviction after which it fails for good: 1 never runs it again. Default 10. */
  readonly maxInterruptions?: number | undefined;
  /** Jobs with this key share a limit (default 1) on how many of them run at once; the last limit given is in force. */
  readonly group?: { readonly key: string; readonly limit?: number | undefined } | undefined;
  /** Keep its payload encrypted at rest; the queue needs keys for it. Default false. */
  readonly encrypted?: boolean | undefined;
  /** Words to find it by: at most 32, of 1 to 128 characters each. */
  readonly tags?: readonly string[] | undefined;
  /** How many ended jobs to keep when this one ends; 0 keeps none. Default: what the queue says. */
  readonly keep?: Partial<Keep> | undefined;
  /**
   * `network`: a failure while the network is away (see `Connectivity`) gives the job back and spends no attempt; it is
   * tried again after a delay, and at once when the network is back. Default none.
   */
  readonly requires?: Requirement | undefined;
  /** Not worth starting after this long: it then ends as `failed`, code `expired`. */
  readonly expiresIn?: Duration | undefined;
}

/** The dedupe key of a job: while the key is taken, `mode` decides what a further add does (R6). */
export interface DedupeOption {
  readonly key: string;
  readonly mode?: DedupeMode | undefined;
  readonly ttl?: Duration | undefined;
  readonly maxWait?: Duration | undefined;
}

/** The options of one job. The nearest word wins: job, then definition, then queue. */
export interface JobOptions extends JobDefaults {
  /** Your own id; also the idempotency key: adding it again changes nothing. */
  readonly id?: string | undefined;
  /** The earliest instant to run at: ms since epoch or a Date. Instead of `delay`. */
  readonly availableAt?: number | Date | undefined;
  /**
   * No second job while one with this key stands. `drop` (default): while it lives, or until `ttl`; `throttle`: for `ttl`
   * from the add, whatever becomes of it; `replace`: a waiting one takes the new payload and options, a running one gets
   * one successor; `debounce`: as replace, and its delay starts anew, up to `maxWait` from the first add.
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
    throw new QuaysideError(
      "invalid_option",
      `A job option cannot be read: ${toStoredError(error).message}`,
      {},
      error,
    );
  }
}

/** What most jobs come with. */
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

/** Whoever prepares the job encrypts it. */
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
