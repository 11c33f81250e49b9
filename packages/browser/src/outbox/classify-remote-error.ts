import { type Json, QuaysideError, type StoredError } from "@quayside/core";
import { type EnqueueReceipt, type NewJob, toStoredError } from "@quayside/core/engine";

/**
 * What an error of the remote means for a batch:
 * - `again`: nobody knows whether it arrived; the same batch is to be sent again, not before `retryAfterMs`.
 * - `auth`: nobody is signed in, as far as the remote or something before it can tell, or not the one for whom the batch
 *   was first sent: the batch waits for that. `subject`: the label of the one who is signed in, where the remote tells it.
 * - `refused`: nothing was stored, and it never will be, because of the jobs named (positions in the batch), or of some.
 * - `barred`: whatever it holds, this sender may not.
 * - `conflict`: its number was used for other jobs.
 */
export type RemoteErrorClass =
  | { readonly kind: "again"; readonly retryAfterMs: number }
  | { readonly kind: "refused"; readonly jobs: readonly number[] }
  | { readonly kind: "auth"; readonly subject?: string }
  | { readonly kind: "barred" | "conflict" };

const REFUSALS: ReadonlySet<unknown> = new Set([
  "invalid_option",
  "invalid_payload",
  "payload_too_large",
  "unknown_job",
  "conflict",
  "forbidden",
  "too_large",
  "bad_request",
]);

/** The token is refused as such, or is not that of whom the batch belongs to (R37). */
const UNSIGNED: ReadonlySet<unknown> = new Set(["unauthorized", "wrong_subject"]);

/** The form of a label from an answer: it is stored, and sent in a header later. */
const LABEL = /^[!-~]{1,64}$/;

interface FieldError {
  readonly path: string;
  readonly message: unknown;
}

const AT = /^\[(\d+)\]\.?/;

/** Only the API's own word is final (R30). What is `bare` was said by something on the way, which may change its mind. */
export function classifyRemoteError(error: unknown): RemoteErrorClass {
  const { code, details } = partsOf(error);
  const bare = details["bare"] === true;
  if (UNSIGNED.has(code) || (bare && code === "forbidden")) {
    const { subject } = details;
    const told = !bare && code === "wrong_subject" && typeof subject === "string" && LABEL.test(subject);
    return { kind: "auth", ...(told && { subject }) };
  }
  if (!bare && (code === "mark_conflict" || code === "stale_exchange")) return { kind: "conflict" };
  // A limit on the size of requests is the same tomorrow, whosever it is.
  if (REFUSALS.has(code) && (!bare || code === "too_large")) {
    const named = fieldsOf(details).flatMap(({ path }) => AT.exec(path)?.[1] ?? []);
    if (code === "forbidden" && named.length === 0) return { kind: "barred" };
    return { kind: "refused", jobs: [...new Set(named.map(Number))] };
  }
  const { retryAfterMs } = details;
  return { kind: "again", retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : 0 };
}

/** Most characters of what the server said that are kept with a refused job. */
const DETAILS_LIMIT = 8_192;

/** What is kept with a refused job: the server's words, its fields by their paths in this job. */
export function refusalOf(error: unknown, position: number | undefined, mayHaveArrived: boolean): StoredError {
  const { stack: _, details: __, ...stored } = toStoredError(error);
  const { errors: ___, ...details } = partsOf(error).details;
  const own = fieldsOf(partsOf(error).details)
    .filter(({ path }) => position === undefined || AT.exec(path)?.[1] === `${position}`)
    .map(({ path, message }) => ({ path: path.replace(AT, ""), message: `${message}` }));
  const arrived = mayHaveArrived && { mayHaveArrived };
  const said = jsonWithin({ ...details, ...(own.length > 0 && { errors: own }), ...arrived });
  return { ...stored, details: said ?? jsonWithin({ status: details["status"], ...arrived }) ?? { ...arrived } };
}

/** As JSON; undefined when it is none, or too long to keep. */
function jsonWithin(value: object): Readonly<Record<string, Json>> | undefined {
  try {
    const text = JSON.stringify(value);
    return text.length <= DETAILS_LIMIT ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}

/** By their shape: an error that came over RPC, or from another copy of core, is no instance of ours. */
export function partsOf(error: unknown): {
  readonly code: unknown;
  readonly details: Readonly<Record<string, unknown>>;
} {
  try {
    const { code, details } = (error ?? {}) as { code?: unknown; details?: unknown };
    return { code, details: typeof details === "object" && details !== null ? { ...details } : {} };
  } catch {
    // A proxy or a getter that throws.
    return { code: undefined, details: {} };
  }
}

function fieldsOf({ errors }: Readonly<Record<string, unknown>>): readonly FieldError[] {
  return Array.isArray(errors) ? errors.filter((entry): entry is FieldError => typeof entry?.path === "string") : [];
}

/**
 * @throws {QuaysideError} `network`, when the answer cannot be the remote's: a portal on the way may say 200 to anything.
 * A job is answered for under its own id, or, as a duplicate by its dedupe key, under that of another.
 */
export function checkReceipts(receipts: unknown, jobs: readonly NewJob[]): void {
  const fits = (job: NewJob, receipt: EnqueueReceipt | null | undefined) =>
    typeof receipt?.id === "string" &&
    (receipt.id === job.id || (job.dedupe !== undefined && receipt.deduplicated === true));
  const list: readonly (EnqueueReceipt | null)[] = Array.isArray(receipts) ? receipts : [];
  if (list.length === jobs.length && jobs.every((job, index) => fits(job, list[index]))) return;
  const said = Array.isArray(receipts) ? `${receipts.length} receipts, some of other jobs` : "no list of receipts";
  throw new QuaysideError("network", `The remote's answer does not fit the ${jobs.length} jobs sent: it is ${said}.`);
}
