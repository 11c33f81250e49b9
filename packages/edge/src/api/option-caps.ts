import { type Backoff, type DedupeMode, type Duration, type JobOptions, QuaysideError, toMs } from "@quayside/core";
import { EVERY_OPTION, type ResolvedOptions, resolveOptions } from "@quayside/core/engine";
import { FieldsError } from "./problem.ts";

/**
 * Limits of the job options that a caller may set (R40). They do not apply to options that a request leaves out, which
 * take the defaults of the job definition or of core: three attempts, 1 s to 1 h apart, no delay, priority 0, no
 * expiry.
 *
 * @example
 * { maxAttempts: 5, priority: 0, delay: "7d", dedupe: ["drop", "throttle"], groupLimit: false }
 */
export interface OptionCaps {
  readonly maxAttempts?: number | undefined;
  /** Highest priority that a caller may set. */
  readonly priority?: number | undefined;
  /** Longest delay that a caller may set, as `delay` or `availableAt`. */
  readonly delay?: Duration | undefined;
  readonly expiresIn?: Duration | undefined;
  /** Shortest and longest wait between two attempts, before jitter. */
  readonly backoff?: { readonly least?: Duration | undefined; readonly most?: Duration | undefined } | undefined;
  /**
   * Modes of `dedupe` that a caller may set. `replace` and `debounce` change the waiting job with the same dedupe key,
   * even if another caller added it. Default: all modes.
   */
  readonly dedupe?: readonly DedupeMode[] | undefined;
  /** Whether a caller may set `group.limit`, which changes the limit for all jobs of the group. Default: true. */
  readonly groupLimit?: boolean | undefined;
}

/**
 * Checks the caps of a grant.
 *
 * @throws {QuaysideError} `invalid_option` if a cap is invalid.
 */
export function checkCaps(caps: OptionCaps): void {
  checkNames(caps, CAPS, "auth.caps");
  if (caps.backoff !== undefined) checkNames(caps.backoff, ["least", "most"], "auth.caps.backoff");
  const { dedupe, groupLimit } = caps;
  if (dedupe !== undefined && !(Array.isArray(dedupe) && dedupe.every((mode) => MODES.includes(mode))))
    throw refused("auth.caps.dedupe", `must be a list of modes: ${MODES.join(", ")}`);
  if (groupLimit !== undefined && typeof groupLimit !== "boolean")
    throw refused("auth.caps.groupLimit", "must be true or false");
  const { maxAttempts, priority } = caps;
  for (const [option, value] of Object.entries({ maxAttempts, priority })) {
    if (value !== undefined && !Number.isInteger(value)) {
      const name = `auth.caps.${option}`;
      throw new QuaysideError("invalid_option", `${name} must be a whole number, got ${value}.`, { option: name });
    }
  }
  msOf(caps.delay, "delay");
  msOf(caps.expiresIn, "expiresIn");
  msOf(caps.backoff?.least, "backoff.least");
  msOf(caps.backoff?.most, "backoff.most");
}

const CAPS = ["maxAttempts", "priority", "delay", "expiresIn", "backoff", "dedupe", "groupLimit"];
const MODES: readonly DedupeMode[] = ["drop", "replace", "debounce", "throttle"];

/** Throws for unknown names of fields: a cap with a misspelt name would limit nothing. */
function checkNames(caps: unknown, names: readonly string[], option: string): void {
  if (typeof caps !== "object" || caps === null || Array.isArray(caps)) throw refused(option, "must be an object");
  const other = Object.keys(caps).find((name) => !names.includes(name));
  if (other !== undefined) throw refused(`${option}.${other}`, `is none of ${names.join(", ")}`);
}

const refused = (option: string, why: string) => new QuaysideError("invalid_option", `${option} ${why}.`, { option });

const msOf = (duration: Duration | undefined, option: string): number | undefined =>
  duration === undefined ? undefined : toMs(duration, `auth.caps.${option}`);

/**
 * Checks the options of a job against the caps of its caller's grant.
 *
 * @param at returns the path of an option in the request.
 * @throws {FieldsError} `forbidden`, naming the options that exceed a cap.
 */
export function checkAgainst(
  caps: OptionCaps | undefined,
  given: JobOptions | undefined,
  at: (option: string) => string,
): void {
  if (!caps || !given) return;
  const over = [...exceeded(caps, resolveOptions([given], Date.now(), EVERY_OPTION))];
  if (over.length === 0) return;
  const errors = over.map(([option, message]) => ({ path: at(option), message }));
  const said = errors.map(({ path, message }) => `${path} ${message}`).join("; ");
  throw new FieldsError("forbidden", `These credentials do not allow it: ${said}.`, errors);
}

/** Yields each option that exceeds its cap, with a message that states the cap. */
function* exceeded(caps: OptionCaps, options: ResolvedOptions): Generator<readonly [option: string, message: string]> {
  const { maxAttempts = 0, priority = 0, delayMs = 0, expiresInMs = 0, dedupe, group, backoff } = options;
  if (caps.maxAttempts !== undefined && maxAttempts > caps.maxAttempts)
    yield ["maxAttempts", `must be at most ${caps.maxAttempts}`];
  if (caps.priority !== undefined && priority > caps.priority) yield ["priority", `must be at most ${caps.priority}`];
  if (delayMs > (msOf(caps.delay, "delay") ?? delayMs)) yield ["delay", `must be at most ${caps.delay}`];
  if (expiresInMs > (msOf(caps.expiresIn, "expiresIn") ?? expiresInMs))
    yield ["expiresIn", `must be at most ${caps.expiresIn}`];
  if (dedupe && caps.dedupe && !caps.dedupe.includes(dedupe.mode))
    yield ["dedupe.mode", `must be one of ${caps.dedupe.join(", ") || "none"}`];
  if (group?.limit !== undefined && caps.groupLimit === false) yield ["group.limit", "must not be given"];
  if (!backoff || !caps.backoff) return;
  const [shortest, longest] = rangeOf(backoff);
  const { least, most } = caps.backoff;
  if (shortest < (msOf(least, "backoff.least") ?? 0)) yield ["backoff", `must wait at least ${least}`];
  if (longest > (msOf(most, "backoff.most") ?? longest)) yield ["backoff", `must wait at most ${most}`];
}

/** Returns the shortest and the longest wait of a backoff. */
function rangeOf(backoff: Backoff): readonly [shortest: number, longest: number] {
  if (backoff.kind !== "list") return [Math.min(backoff.delayMs, backoff.maxMs), backoff.maxMs];
  // Sorted, because `Math.min(...list)` fails for lists that are longer than a call's arguments.
  const waits = [...backoff.delaysMs].sort((a, b) => a - b);
  return [waits[0] ?? 0, waits[waits.length - 1] ?? 0];
}
