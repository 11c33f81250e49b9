import type { ClaimedJob } from "@quayside/core/engine";

/** Maximum bytes of a batch: the API's 1 MiB minus a margin, because a job in a request is larger than a stored one. */
const BYTES = 900_000;
/** Maximum bytes that a job takes in a request in addition to its payload, id and name. */
const OVERHEAD = 200;

/**
 * Returns the first claimed jobs that fit into one request, at least one. If the jobs are claimed again, the result is
 * the same.
 */
export function prefixWithin(claimed: readonly ClaimedJob[], limit = BYTES): readonly ClaimedJob[] {
  const encoder = new TextEncoder();
  let bytes = 0;
  const end = claimed.findIndex(({ job }, index) => {
    bytes += encoder.encode(JSON.stringify(job.payload)).length + 3 * (job.id.length + job.name.length) + OVERHEAD;
    return index > 0 && bytes > limit;
  });
  return end < 0 ? claimed : claimed.slice(0, end);
}
