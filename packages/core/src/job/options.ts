import { fields, integer, oneOf, positiveMs } from "./checks.ts";
import { type Duration, toMs } from "./duration.ts";
import { isA, QuaysideError, refused, toStoredError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { checkName } from "./place.ts";
import type { Dedupe, DedupeMode, Group, Keep, Requirement, StoredOptions } from "./record.ts";
import { type BackoffOption, resolveBackoff } from "./retry.ts";

/** What a queue or a definition can say once for all of its jobs. */
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

/**
 * Merges layers of options, nearest last, and checks each value. `now` turns `availableAt` into a delay.
 *
 * @throws {QuaysideError} `invalid_option` naming the option.
 */
export function resolveOptions(layers: readonly (JobOptions | undefined)[], now: number): ResolvedOptions {
  try {
    return resolve(layers, now);
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

function resolve(layers: readonly (JobOptions | undefined)[], now: number): ResolvedOptions {
  const merged = merge(layers);
  if (!merged) return NO_OPTIONS;
  const {
    id,
    delay,
    availableAt,
    priority,
    maxAttempts,
    maxExceptions,
    maxInterruptions,
    backoff,
    timeout,
    dedupe,
    group,
    encrypted,
    tags,
    keep,
    requires,
    expiresIn,
  } = merged;
  if (encrypted !== undefined && typeof encrypted !== "boolean")
    throw refused("encrypted", "must be true or false", encrypted);
  const delayMs =
    availableAt === undefined ? delay !== undefined && toMs(delay, "delay") : delayUntil(availableAt, now);
  return {
    ...(id !== undefined && { id: checkName(id, "id") }),
    ...(delayMs && { delayMs }),
    ...(priority !== undefined && checkPriority(priority) !== 0 && { priority }),
    ...(maxAttempts !== undefined && { maxAttempts: integer(maxAttempts, 1, LIMITS.attempts, "maxAttempts") }),
    ...(maxExceptions !== undefined && { maxExceptions: integer(maxExceptions, 1, LIMITS.attempts, "maxExceptions") }),
    ...(maxInterruptions !== undefined && {
      maxInterruptions: integer(maxInterruptions, 1, LIMITS.attempts, "maxInterruptions"),
    }),
    ...(backoff !== undefined && { backoff: resolveBackoff(backoff) }),
    ...(timeout !== undefined && { timeoutMs: positiveMs(timeout, "timeout") }),
    ...(dedupe !== undefined && { dedupe: resolveDedupe(dedupe) }),
    ...(group !== undefined && { group: resolveGroup(group) }),
    ...(tags !== undefined && checkTags(tags).length > 0 && { tags: [...tags] }),
    ...(keep !== undefined && { keep: resolveKeep(keep) }),
    ...(requires !== undefined && { requires: checkRequirement(requires) }),
    ...(expiresIn !== undefined && { expiresInMs: positiveMs(expiresIn, "expiresIn") }),
  };
}

/** What most jobs come with. */
const NO_OPTIONS: ResolvedOptions = Object.freeze({});

/** Options of a recurring job. Its recurrence sets the id, the instant and the dedupe key. */
export const RECURRING_FIELDS =
  "priority maxAttempts maxExceptions maxInterruptions backoff timeout group encrypted tags keep requires expiresIn".split(
    " ",
  );

const KNOWN = ["id", "delay", "availableAt", "dedupe", ...RECURRING_FIELDS];

/** The nearest defined value of each option; undefined when there is none. A delay and an instant said in different layers do not mix: the nearer wins. */
function merge(layers: readonly (JobOptions | undefined)[]): JobOptions | undefined {
  let merged: Record<string, unknown> | undefined;
  for (const layer of layers) {
    if (layer !== undefined && layer !== null) fields(layer, "options", KNOWN);
    for (const option in layer) {
      const value = layer[option as keyof JobOptions];
      if (value === undefined) continue;
      merged ??= {};
      if (option === "delay") delete merged.availableAt;
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
  [...tags].forEach((tag, index) => {
    if (checkName(tag, `tags[${index}]`).length > LIMITS.tagLength)
      throw refused(`tags[${index}]`, `must be at most ${LIMITS.tagLength} characters`, tag);
  });
  return tags;
}

export const checkPriority = (priority: number): number =>
  integer(priority, -LIMITS.priority, LIMITS.priority, "priority");

function checkRequirement(requires: Requirement): Requirement {
  if (requires !== "network") throw refused("requires", 'must be "network"', requires);
  return requires;
}

const DEDUPE_MODES: readonly DedupeMode[] = ["drop", "replace", "debounce", "throttle"];

function resolveDedupe(option: DedupeOption): Dedupe {
  const { key, mode = "drop", ttl, maxWait } = fields(option, "dedupe", ["key", "mode", "ttl", "maxWait"], "dedupe.");
  checkName(key, "dedupe.key");
  oneOf(mode, DEDUPE_MODES, "dedupe.mode");
  if (mode === "throttle" && ttl === undefined) throw refused("dedupe.ttl", 'is needed with mode "throttle"', ttl);
  if (maxWait !== undefined && mode !== "debounce")
    throw refused("dedupe.maxWait", 'goes with mode "debounce" alone', maxWait);
  return {
    key,
    mode,
    ...(ttl !== undefined && { ttlMs: positiveMs(ttl, "dedupe.ttl") }),
    ...(maxWait !== undefined && { maxWaitMs: positiveMs(maxWait, "dedupe.maxWait") }),
  };
}

function resolveGroup(option: NonNullable<JobDefaults["group"]>): Group {
  const { key, limit } = fields(option, "group", ["key", "limit"], "group.");
  checkName(key, "group.key");
  return { key, ...(limit !== undefined && { limit: integer(limit, 1, LIMITS.groupLimit, "group.limit") }) };
}

/** @throws {QuaysideError} `invalid_option` when a state is unknown or a number is not a whole one from 0. */
export function resolveKeep(keep: Partial<Keep>): Partial<Keep> {
  for (const [state, count] of Object.entries(fields(keep, "keep", ["completed", "failed", "cancelled"], "keep.")))
    integer(count, 0, LIMITS.keep, `keep.${state}`);
  return { ...keep };
}
