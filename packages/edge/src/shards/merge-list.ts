import { DEFAULTS, type JobPage, type JobRecord, LIMITS, QuaysideError } from "@quayside/core";
import { comparePositions, type ListQuery } from "@quayside/core/engine";
import { jsonBytes } from "../json-bytes.ts";
import { REPLY_BYTES } from "../rpc/reply-budget.ts";

/**
 * The position of a list over all shards, as one cursor per shard. Null: the shard was read to the end; `0`: not yet
 * begun.
 */
type Cursors = readonly (string | null | 0)[];

/** A shard's jobs that are not yet in the page. */
interface Source {
  jobs: readonly JobRecord[];
  positions: readonly string[];
  at: number;
  /** Position at which to continue reading the shard: see `Cursors`. */
  cursor: string | null | 0;
  /** Position after the shard's last job that is in the page. */
  taken: string | null | 0;
}

/** Returns a page of a queue's jobs over several shards, in the same order as the list of an unsplit queue. */
export async function mergeList(
  query: ListQuery,
  shards: number,
  list: (shard: number, query: ListQuery) => Promise<JobPage>,
): Promise<JobPage> {
  const { limit = DEFAULTS.pageLimit, cursor: from, positions: _, ...rest } = query;
  // The shard reports the error in the query.
  if (!Number.isInteger(limit) || limit < 1 || limit > LIMITS.page) return list(0, { ...rest, limit });
  const cursors = from === undefined ? new Array<0>(shards).fill(0) : decode(from, shards);
  const sources = cursors.map((cursor): Source => ({ jobs: [], positions: [], at: 0, cursor, taken: cursor }));
  // Twice each shard's part of the page, so that evenly spread jobs need one read per shard.
  const step = Math.max(1, Math.min(limit, Math.ceil((2 * limit) / shards)));
  const fill = async (source: Source, shard: number) => {
    const { cursor } = source;
    if (cursor === null || source.at < source.jobs.length) return;
    const page = await list(shard, {
      ...rest,
      limit: step,
      positions: true,
      // The pages of all shards are in memory at once.
      bytes: Math.floor(REPLY_BYTES / shards),
      ...(cursor !== 0 && { cursor }),
    });
    source.jobs = page.jobs;
    source.positions = page.positions ?? [];
    source.at = 0;
    source.cursor = page.cursor ?? null;
    // A page without jobs (rare tags) is skipped.
    if (page.jobs.length === 0) source.taken = source.cursor;
  };
  const jobs: JobRecord[] = [];
  let bytes = 0;
  await Promise.all(sources.map((source, shard) => fill(source, shard)));
  while (jobs.length < limit) {
    const next = first(sources);
    if (next === undefined) break;
    const source = sources[next] as Source;
    const position = source.positions[source.at] as string;
    const job = source.jobs[source.at] as JobRecord;
    bytes += jsonBytes(job);
    if (bytes > REPLY_BYTES && jobs.length > 0) break;
    jobs.push(job);
    source.at++;
    const last = source.at === source.jobs.length;
    source.taken = last && source.cursor === null ? null : position;
    if (last && jobs.length < limit) await fill(source, next);
  }
  const left = sources.map(({ taken }) => taken);
  return left.every((cursor) => cursor === null) ? { jobs } : { jobs, cursor: encode(left) };
}

/**
 * Returns the shard whose next job comes first in the page. Returns undefined if no shard has one, or if a shard
 * stopped its search early: its next job may come before the others'.
 */
function first(sources: readonly Source[]): number | undefined {
  let best: number | undefined;
  for (const [shard, source] of sources.entries()) {
    if (source.at === source.jobs.length) {
      if (source.cursor !== null) return undefined;
      continue;
    }
    const position = source.positions[source.at] as string;
    const other = best === undefined ? undefined : (sources[best] as Source);
    if (!other || comparePositions(position, other.positions[other.at] as string) < 0) best = shard;
  }
  return best;
}

/**
 * Encodes the cursors of all shards as one cursor. First decodes each, because text that is encoded twice would be
 * long.
 */
const encode = (cursors: Cursors): string =>
  encodeURIComponent(JSON.stringify(cursors.map((cursor) => (cursor ? decodeURIComponent(cursor) : cursor))));

function decode(cursor: string, shards: number): Cursors {
  try {
    const cursors = JSON.parse(decodeURIComponent(cursor)) as unknown;
    const isCursor = (one: unknown) => one === null || one === 0 || typeof one === "string";
    // Shards missing from the cursor were added since and are read from the beginning.
    if (Array.isArray(cursors) && cursors.length <= shards && cursors.every(isCursor))
      return [
        ...(cursors as Cursors).map((one) => (one ? encodeURIComponent(one) : one)),
        ...new Array<0>(shards - cursors.length).fill(0),
      ];
  } catch {
    // Continues with the error below, which is clearer.
  }
  throw new QuaysideError("invalid_option", "cursor is not one that a list call has answered.", { option: "cursor" });
}
