import type { ClaimedJob } from "@quayside/core/engine";

/** Of the API's 1 MiB, with room for what differs between a job here and in a request. */
const BYTES = 900_000;
/** What a job's name, id and the like add at most to what is measured, in bytes. */
const OVERHEAD = 200;

/** The first jobs of a claim that fit into one request; at least one. The same ones whenever the claim is repeated. */
export function prefixWithin(claimed: readonly ClaimedJob[], limit = BYTES): readonly ClaimedJob[] {
  const encoder = new TextEncoder();
  let bytes = 0;
  const end = claimed.findIndex(({ job }, index) => {
    bytes += encoder.encode(JSON.stringify(job.payload)).length + 3 * (job.id.length + job.name.length) + OVERHEAD;
    return index > 0 && bytes > limit;
  });
  return end < 0 ? claimed : claimed.slice(0, end);
}
