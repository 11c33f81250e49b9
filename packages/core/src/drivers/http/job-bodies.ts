import { isQuaysideError, QuaysideError } from "../../job/errors.ts";
import type { NewJob } from "../../job/new-job.ts";

/** Maximum number of jobs in one request to the API. */
const JOBS_LIMIT = 1_000;
const BYTES_LIMIT = 1_000_000;

/** A request body with jobs of one queue, and the indices of these jobs in the call of `enqueue`. */
export interface JobsBody {
  readonly queue: string;
  readonly body: string;
  readonly positions: readonly number[];
}

/**
 * Divides jobs into request bodies, one queue per body, as few as the API's limits allow.
 *
 * @throws {QuaysideError} `invalid_option` for a flow that does not fit into one body: its jobs are stored all or none.
 */
export function bodiesOf(jobs: readonly NewJob[]): readonly JobsBody[] {
  const encoder = new TextEncoder();
  const bodies: JobsBody[] = [];
  const open = new Map<string, { texts: string[]; positions: number[]; bytes: number }>();
  const close = (queue: string, { texts, positions }: { texts: string[]; positions: number[] }) => {
    bodies.push({ queue, body: `[${texts.join(",")}]`, positions });
    open.delete(queue);
  };
  for (const [position, job] of jobs.entries()) {
    const text = jobText(job);
    const bytes = encoder.encode(text).length + 1;
    const begun = open.get(job.queue);
    const full = begun && (begun.texts.length >= JOBS_LIMIT || begun.bytes + bytes > BYTES_LIMIT);
    if (full) close(job.queue, begun);
    const body = begun && !full ? begun : { texts: [], positions: [], bytes: 0 };
    open.set(job.queue, body);
    body.texts.push(text);
    body.positions.push(position);
    body.bytes += bytes;
  }
  for (const [queue, body] of open) close(queue, body);
  if (bodies.length > 1 && jobs.some(({ flow }) => flow)) {
    throw new QuaysideError(
      "invalid_option",
      "Over HTTP the jobs of a flow go to one queue, at most 1,000 and 1 MB of them.",
      {
        option: "flow",
      },
    );
  }
  return bodies;
}

/** Returns a job as JSON for a request body. The payload is JSON text already and is inserted unchanged. */
export function jobText({
  queue: _,
  name,
  payload,
  flow,
  trace,
  sealed,
  backoff,
  dedupe,
  ...resolved
}: NewJob): string {
  const options = optionsText({
    ...resolved,
    backoff: backoff?.kind === "list" ? backoff.delaysMs : backoff,
    dedupe: dedupe?.mode === "debounce" ? { ...dedupe, waitMs: resolved.delayMs ?? 0 } : dedupe,
  });
  const rest = JSON.stringify({ flow, trace, sealed }).slice(1, -1);
  const members = [options === "{}" ? "" : `"options":${options}`, rest].filter(Boolean);
  return `{${[`"name":${JSON.stringify(name)}`, `"payload":${payload}`, ...members].join(",")}}`;
}

/**
 * Returns resolved options as JSON of the options that the API takes: a duration has no `Ms` in its name. Inside of texts,
 * a quotation mark is escaped, so that only names are changed.
 */
export const optionsText = (resolved: object): string => JSON.stringify(resolved).replace(/Ms":/g, '":');

/** Changes the job indices in an error from positions in the request to positions in the call of `enqueue`. */
export function repositioned(error: unknown, positions: readonly number[]): unknown {
  if (!isQuaysideError(error) || positions.every((position, index) => position === index)) return error;
  const { at, issues } = error.details as { readonly at?: unknown; readonly issues?: unknown };
  const moved = (path: unknown) =>
    `${path}`.replace(/^((?:jobs)?\[)(\d+)/, (_, start, index) => start + (positions[Number(index)] ?? index));
  // Without `at`, the paths of the issues begin with the index of the job.
  const own = at
    ? { at: moved(at) }
    : Array.isArray(issues) && { issues: issues.map((issue) => ({ ...issue, path: moved(issue?.path ?? "") })) };
  return own ? new QuaysideError(error.code, error.message, { ...error.details, ...own }, error) : error;
}
