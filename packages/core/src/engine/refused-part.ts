import { type ErrorCode, isA, QuaysideError } from "../job/errors.ts";
import { toStoredError } from "../job/stored-error.ts";
import type { AttemptReport, ExchangeRequest, Settlement } from "./verbs.ts";

/** The part of a refused exchange to send first, without its claim. The rest of `settle` is sent later. */
export interface RefusedPart {
  readonly refusedBy: unknown;
  readonly settle: readonly Settlement[];
  readonly progress: readonly AttemptReport[];
  /** The failure that takes the place of the one end in `settle`, which was refused. */
  readonly failure?: QuaysideError;
}

/** Codes of refusals of an exchange as it is: sent again, it would be refused again. */
const REFUSALS: readonly ErrorCode[] = [
  "bad_request",
  "invalid_option",
  "invalid_payload",
  "invalid_result",
  "payload_too_large",
  "result_too_large",
];

/**
 * Returns the part to send of an exchange that was refused and would be again (R30): without its claim and with half of
 * its settlements; with one settlement, without its reports; at last with a failed attempt in place of that one. Undefined
 * when the error is no refusal, or nothing is left to leave out.
 *
 * A refusal that is not from the API (from a portal, or a route that is not deployed yet) says nothing about the exchange,
 * unless it is too large. `forbidden` is about the claim.
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
 * Returns the end of an attempt whose own end was refused: failed, for good unless it was to be tried again; for good when
 * that is refused as well. Undefined when that is refused, too.
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
