import type { ClaimedJob } from "@quayside/core/engine";

/**
 * Limit of a batch in bytes: the API's 1 MiB less room for the difference between a stored job and one in a request.
 */
const BYTES = 900_000;
/** Most bytes per job beside its payload, id and name. */
const OVERHEAD = 200;

/** Returns the first jobs of a claim that fit into one request, at least one. A repeated claim gives the same jobs. */
export function prefixWithin(claimed: readonly ClaimedJob[], limit = BYTES): readonly ClaimedJob[] {
  const encoder = new TextEncoder();
  let bytes = 0;
  const end = claimed.findIndex(({ job }, index) => {
    bytes += encoder.encode(JSON.stringify(job.payload)).length + 3 * (job.id.length + job.name.length) + OVERHEAD;
    return index > 0 && bytes > limit;
  });
  return end < 0 ? claimed : claimed.slice(0, end);
}
