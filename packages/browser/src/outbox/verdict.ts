import { type Json, QuaysideError, type StoredError, toStoredError } from "@quayside/core";

/**
 * What an error of the remote means for a batch:
 * - `again`: nobody knows whether it arrived; the same batch is to be sent again, not before `retryAfterMs`.
 * - `refused`: nothing was stored, and it never will be, because of the jobs named (positions in the batch), or of some.
 * - `barred`: whatever it holds, this sender may not.
 * - `conflict`: its number was used for other jobs.
 */
export type Verdict =
  | { readonly kind: "again"; readonly retryAfterMs?: number }
  | { readonly kind: "refused"; readonly jobs: readonly number[] }
  | { readonly kind: "barred" | "conflict" };

const REFUSALS: ReadonlySet<unknown> = new Set([
  "invalid_option",
  "invalid_payload",
  "payload_too_large",
  "unknown_job",
  "conflict",
  "too_large",
  "bad_request",
]);

interface FieldError {
  readonly path: string;
  readonly message: string;
}

const AT = /^\[(\d+)\]\.?/;

export function verdictOn(error: unknown): Verdict {
  const { code, details } = partsOf(error);
  if (code === "unauthorized" || code === "forbidden") return { kind: "barred" };
  if (code === "mark_conflict" || code === "stale_exchange") return { kind: "conflict" };
  // Said by something on the way: a route that is missing while the server is being replaced is there again soon.
  const byApi = details["bare"] !== true || code === "too_large";
  if (REFUSALS.has(code) && byApi) {
    const named = fieldsOf(details).flatMap(({ path }) => AT.exec(path)?.[1] ?? []);
    return { kind: "refused", jobs: [...new Set(named.map(Number))] };
  }
  const { retryAfterMs } = details;
  return { kind: "again", ...(typeof retryAfterMs === "number" && { retryAfterMs }) };
}

/** What is kept with a refused job: the server's words, its fields by their paths in this job. */
export function refusalOf(error: unknown, position: number | undefined, mayHaveArrived: boolean): StoredError {
  const { stack: _, details: __, ...stored } = toStoredError(error);
  const { errors: ___, ...details } = partsOf(error).details;
  const own = fieldsOf(partsOf(error).details)
    .filter(({ path }) => position === undefined || AT.exec(path)?.[1] === `${position}`)
    .map(({ path, message }) => ({ path: path.replace(AT, ""), message }));
  const said = { ...details, ...(own.length > 0 && { errors: own }), ...(mayHaveArrived && { mayHaveArrived }) };
  return { ...stored, details: JSON.parse(JSON.stringify(said)) as Readonly<Record<string, Json>> };
}

/** By their shape: an error that came over RPC, or from another copy of core, is no instance of ours. */
export function partsOf(error: unknown): {
  readonly code: unknown;
  readonly details: Readonly<Record<string, unknown>>;
} {
  const { code, details } = (error ?? {}) as { code?: unknown; details?: unknown };
  return { code, details: typeof details === "object" && details !== null ? { ...details } : {} };
}

function fieldsOf({ errors }: Readonly<Record<string, unknown>>): readonly FieldError[] {
  return Array.isArray(errors) ? errors.filter((entry): entry is FieldError => typeof entry?.path === "string") : [];
}

/** @throws {QuaysideError} `network`, when the answer cannot be the remote's: a portal on the way may say 200 to anything. */
export function checkReceipts(receipts: unknown, count: number): void {
  const valid =
    Array.isArray(receipts) && receipts.length === count && receipts.every((each) => typeof each?.id === "string");
  if (!valid) throw new QuaysideError("network", "The remote's answer does not fit the jobs that it was sent.");
}
