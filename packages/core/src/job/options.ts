import { type Duration, toMs } from "./duration.ts";
import { QuaysideError } from "./errors.ts";
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
  /** Words to find it by. */
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

export interface DedupeOption {
  readonly key: string;
  readonly mode?: DedupeMode | undefined;
  readonly ttl?: Duration | undefined;
  readonly maxWait?: Duration | undefined;
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
    tags,
    keep,
    requires,
    expiresIn,
  } = merged;
  const delayMs =
    availableAt === undefined ? delay !== undefined && toMs(delay, "delay") : delayUntil(availableAt, now);
  return {
    ...(id !== undefined && { id: checkName(id, "id") }),
    ...(delayMs && { delayMs }),
    ...(priority && { priority: integer(priority, -100, 100, "priority") }),
    ...(maxAttempts !== undefined && { maxAttempts: integer(maxAttempts, 1, 1_000_000, "maxAttempts") }),
    ...(maxExceptions !== undefined && { maxExceptions: integer(maxExceptions, 1, 1_000_000, "maxExceptions") }),
    ...(maxInterruptions !== undefined && {
      maxInterruptions: integer(maxInterruptions, 1, 1_000_000, "maxInterruptions"),
    }),
    ...(backoff !== undefined && { backoff: resolveBackoff(backoff) }),
    ...(timeout !== undefined && { timeoutMs: positive(toMs(timeout, "timeout"), "timeout") }),
    ...(dedupe !== undefined && { dedupe: resolveDedupe(dedupe) }),
    ...(group !== undefined && { group: resolveGroup(group) }),
    ...(tags !== undefined && tags.length > 0 && { tags: tags.map((tag, index) => checkName(tag, `tags[${index}]`)) }),
    ...(keep !== undefined && { keep: resolveKeep(keep) }),
    ...(requires !== undefined && { requires: checkRequirement(requires) }),
    ...(expiresIn !== undefined && { expiresInMs: positive(toMs(expiresIn, "expiresIn"), "expiresIn") }),
  };
}

/** What most jobs come with. */
const NO_OPTIONS: ResolvedOptions = Object.freeze({});

const KNOWN: ReadonlySet<string> = new Set(
  "id delay availableAt priority maxAttempts maxExceptions maxInterruptions backoff timeout dedupe group encrypted tags keep requires expiresIn".split(
    " ",
  ),
);

/** The nearest defined value of each option; undefined when there is none. A delay and an instant said in different layers do not mix: the nearer wins. */
function merge(layers: readonly (JobOptions | undefined)[]): JobOptions | undefined {
  let merged: Record<string, unknown> | undefined;
  for (const layer of layers) {
    for (const option in layer) {
      const value = layer[option as keyof JobOptions];
      if (!KNOWN.has(option)) {
        throw new QuaysideError(
          "invalid_option",
          `There is no job option ${JSON.stringify(option)}. Known are ${[...KNOWN].join(", ")}.`,
          { option },
        );
      }
      if (value === undefined) continue;
      merged ??= {};
      if (option === "delay") delete merged.availableAt;
      merged[option] = value;
    }
  }
  return merged;
}

function delayUntil(instant: number | Date, now: number): number {
  const at = typeof instant === "number" ? instant : instant.getTime();
  if (!Number.isFinite(at))
    throw new QuaysideError("invalid_option", `availableAt must be ms since epoch or a valid Date, got ${instant}.`, {
      option: "availableAt",
    });
  return toMs(Math.max(0, Math.round(at - now)), "availableAt");
}

export function integer(value: number, least: number, most: number, option: string): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new QuaysideError("invalid_option", `${option} must be an integer from ${least} to ${most}, got ${value}.`, {
      option,
    });
  }
  return value;
}

function positive(ms: number, option: string): number {
  if (ms < 1) throw new QuaysideError("invalid_option", `${option} must be at least 1 ms.`, { option });
  return ms;
}

function checkRequirement(requires: Requirement): Requirement {
  if (requires !== "network") {
    throw new QuaysideError("invalid_option", `requires must be "network", got ${JSON.stringify(requires)}.`, {
      option: "requires",
    });
  }
  return requires;
}

const DEDUPE_MODES: readonly DedupeMode[] = ["drop", "replace", "debounce", "throttle"];

function resolveDedupe({ key, mode = "drop", ttl, maxWait }: DedupeOption): Dedupe {
  checkName(key, "dedupe.key");
  const refuse = (option: string, message: string): never => {
    throw new QuaysideError("invalid_option", `${option} ${message}`, { option });
  };
  if (!DEDUPE_MODES.includes(mode))
    refuse("dedupe.mode", `must be one of ${DEDUPE_MODES.join(", ")}, got ${JSON.stringify(mode)}.`);
  if (mode === "throttle" && ttl === undefined) refuse("dedupe.ttl", 'is needed with mode "throttle".');
  if (maxWait !== undefined && mode !== "debounce") refuse("dedupe.maxWait", 'goes with mode "debounce" alone.');
  return {
    key,
    mode,
    ...(ttl !== undefined && { ttlMs: positive(toMs(ttl, "dedupe.ttl"), "dedupe.ttl") }),
    ...(maxWait !== undefined && { maxWaitMs: positive(toMs(maxWait, "dedupe.maxWait"), "dedupe.maxWait") }),
  };
}

function resolveGroup({ key, limit }: NonNullable<JobDefaults["group"]>): Group {
  checkName(key, "group.key");
  return { key, ...(limit !== undefined && { limit: integer(limit, 1, 10_000, "group.limit") }) };
}

/** @throws {QuaysideError} `invalid_option` when a state is unknown or a number is not a whole one from 0. */
export function resolveKeep(keep: Partial<Keep>): Partial<Keep> {
  for (const [state, count] of Object.entries(keep)) {
    if (!["completed", "failed", "cancelled"].includes(state)) {
      throw new QuaysideError("invalid_option", `keep.${state} is not a state in which jobs are kept.`, {
        option: `keep.${state}`,
      });
    }
    integer(count, 0, 1_000_000, `keep.${state}`);
  }
  return keep;
}
