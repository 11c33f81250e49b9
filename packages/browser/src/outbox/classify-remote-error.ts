import { type Json, QuaysideError, type StoredError } from "@quayside/core";
import { type EnqueueReceipt, type NewJob, toStoredError } from "@quayside/core/engine";

/**
 * The meaning of a remote's error for a batch:
 * - `again`: the batch may have arrived. Send it again unchanged, after `retryAfterMs`.
 * - `auth`: the remote or a proxy refuses the page's token, or the token's subject is not the one for which the batch
 *   was first sent. The batch waits. `subject`: label of the token's subject, if the remote returns it.
 * - `refused`: nothing was stored, because of the jobs at the positions `jobs` (empty: the remote does not say which).
 *   Final.
 * - `barred`: this sender may not add any jobs.
 * - `conflict`: the batch's number was used for other jobs.
 */
export type RemoteErrorClass =
  | { readonly kind: "again"; readonly retryAfterMs: number }
  | { readonly kind: "refused"; readonly jobs: readonly number[] }
  | { readonly kind: "auth"; readonly subject?: string | undefined }
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

/** Error codes that refuse the token, or its subject for this batch (R37). */
const UNSIGNED: ReadonlySet<unknown> = new Set(["unauthorized", "wrong_subject"]);

/** The syntax of a subject's label. Checked, because the label is stored and later sent in a header. */
const LABEL = /^[!-~]{1,64}$/;

interface FieldError {
  readonly path: string;
  readonly message: unknown;
}

const AT = /^\[(\d+)\]\.?/;

/** Returns the position in the batch of the job that the error names, as text. Undefined if the error names none. */
const jobNamedBy = ({ at }: Readonly<Record<string, unknown>>): string | undefined =>
  /^jobs\[(\d+)\]/.exec(`${at}`)?.[1];

/**
 * Classifies an error of the remote. Only the API's own problem details are final (R30); a `bare` status may come from
 * a proxy and change.
 */
export function classifyRemoteError(error: unknown): RemoteErrorClass {
  const { code, details } = partsOf(error);
  const bare = details["bare"] === true;
  if (UNSIGNED.has(code) || (bare && code === "forbidden")) {
    const { subject } = details;
    const told = !bare && code === "wrong_subject" && typeof subject === "string" && LABEL.test(subject);
    return { kind: "auth", ...(told && { subject }) };
  }
  if (!bare && (code === "mark_conflict" || code === "stale_exchange")) return { kind: "conflict" };
  // A size limit does not change with time, even if a proxy reports it.
  if (REFUSALS.has(code) && (!bare || code === "too_large")) {
    const one = jobNamedBy(details);
    const named = one ? [one] : fieldsOf(details).flatMap(({ path }) => AT.exec(path)?.[1] ?? []);
    if (code === "forbidden" && named.length === 0) return { kind: "barred" };
    return { kind: "refused", jobs: [...new Set(named.map(Number))] };
  }
  const { retryAfterMs } = details;
  return { kind: "again", retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : 0 };
}

/** Maximum number of characters of the server's details that are stored with a refused job. */
const DETAILS_LIMIT = 8_192;

/**
 * Returns the error to store with a refused job: the server's message and issues. Paths begin at the payload, or at the
 * job for other parts of it.
 */
export function refusalOf(error: unknown, position: number | undefined, mayHaveArrived: boolean): StoredError {
  const { stack: _, details: __, ...stored } = toStoredError(error);
  const { issues: ___, at: ____, ...details } = partsOf(error).details;
  const fields = fieldsOf(partsOf(error).details);
  const own = jobNamedBy(partsOf(error).details)
    ? fields
    : fields
        .filter(({ path }) => position === undefined || AT.exec(path)?.[1] === `${position}`)
        .map(({ path, message }) => ({ path: path.replace(AT, ""), message: `${message}` }));
  const arrived = mayHaveArrived && { mayHaveArrived };
  const said = jsonWithin({ ...details, ...(own.length > 0 && { issues: own }), ...arrived });
  return { ...stored, details: said ?? jsonWithin({ status: details["status"], ...arrived }) ?? { ...arrived } };
}

/** Returns a value if it is JSON and short enough to store; otherwise undefined. */
function jsonWithin(value: object): Readonly<Record<string, Json>> | undefined {
  try {
    const text = JSON.stringify(value);
    return text.length <= DETAILS_LIMIT ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads code and details of an error without `instanceof`, because errors from RPC or another copy of core have other
 * classes.
 */
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

function fieldsOf({ issues }: Readonly<Record<string, unknown>>): readonly FieldError[] {
  return Array.isArray(issues) ? issues.filter((entry): entry is FieldError => typeof entry?.path === "string") : [];
}

/**
 * Checks the receipts of a batch. A receipt must have the job's own id or, for a duplicate by dedupe key, another id.
 *
 * @throws {QuaysideError} `network` if they cannot come from the remote: a captive portal may answer 200.
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
