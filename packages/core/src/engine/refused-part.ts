import { type ErrorCode, isA, QuaysideError } from "../job/errors.ts";
import { toStoredError } from "../job/stored-error.ts";
import type { AttemptReport, ExchangeRequest, Settlement } from "./verbs.ts";

/** The part of a refused exchange to send first, without a claim. The worker sends the other settlements later. */
export interface RefusedPart {
  readonly refusedBy: unknown;
  readonly settle: readonly Settlement[];
  readonly progress: readonly AttemptReport[];
  /** The error of the attempt that `settle` reports as failed in place of the refused settlement. */
  readonly failure?: QuaysideError;
}

/** Error codes of final refusals: the same exchange would be refused again each time. */
const REFUSALS: readonly ErrorCode[] = [
  "bad_request",
  "invalid_option",
  "invalid_payload",
  "invalid_result",
  "payload_too_large",
  "result_too_large",
];

/**
 * Returns the part to send of an exchange that was finally refused (R30): first without its claim and with half of its
 * settlements; with one settlement, without its reports; at last with a failed attempt in place of the settlement.
 * Undefined if the error is not final, or nothing is left to omit.
 *
 * A refusal that is not from the API (from a captive portal, or a missing route) is not final, unless the exchange is
 * too large. `forbidden` concerns the claim only.
 */
export function partOfRefused(
  { settle, running, progress = [], claim }: Pick<ExchangeRequest, "settle" | "running" | "progress" | "claim">,
  refusedBy: unknown,
): RefusedPart | undefined {
  const claims = claim.limit > 0 && settle.length + running.length > 0;
  const refused = isA(QuaysideError, refusedBy)
    ? refusedBy.code === "too_large" ||
      (!refusedBy.details["bare"] && (REFUSALS.includes(refusedBy.code) || (claims && refusedBy.code === "forbidden")))
    : isA(Error, refusedBy) && refusedBy.name === "DataCloneError";
  if (!refused) return undefined;
  const [first, second] = settle;
  if (second) return { refusedBy, settle: settle.slice(0, Math.ceil(settle.length / 2)), progress };
  if (claims) return { refusedBy, settle, progress };
  if (progress.length > 0) return { refusedBy, settle, progress: [] };
  return first && failed(first, refusedBy);
}

const NOT_STORED = "How this attempt ended could not be stored: ";

/**
 * Returns the settlement that replaces a refused one: the attempt failed, for good unless a retry was intended. If that
 * settlement is refused as well: failed for good. Undefined if the latter is refused, too.
 */
function failed(settlement: Settlement, refusedBy: unknown): RefusedPart | undefined {
  const end = settlement.outcome === "failed" ? settlement : undefined;
  const again = end?.error.message.startsWith(NOT_STORED);
  const retryMs = again ? undefined : end?.retryMs;
  if (again && end?.retryMs === undefined) return undefined;
  const stored = toStoredError(refusedBy);
  const code =
    stored.code === "too_large"
      ? "result_too_large"
      : stored.code === "handler_failed"
        ? "invalid_result"
        : stored.code;
  const message = (NOT_STORED + stored.message).slice(0, 1_000);
  return {
    refusedBy,
    settle: [
      {
        token: settlement.token,
        outcome: "failed",
        error: { code, message },
        ...(retryMs !== undefined && { retryMs }),
      },
    ],
    progress: [],
    failure: new QuaysideError(code, message, {}, refusedBy),
  };
}
