import { DEFAULTS, type JobPage, type JobRecord, LIMITS, QuaysideError } from "@quayside/core";
import { comparePositions, type ListQuery } from "@quayside/core/engine";
import { jsonBytes } from "../json-bytes.ts";
import { REPLY_BYTES } from "../rpc/reply-budget.ts";

/** Where a list over shards goes on: each shard's cursor; null where it is read to its end, `0` where it is not begun. */
type Cursors = readonly (string | null | 0)[];

/** A shard's jobs on their way into the page. */
interface Source {
  jobs: readonly JobRecord[];
  positions: readonly string[];
  at: number;
  /** Where to read on in the shard: see `Cursors`. */
  cursor: string | null | 0;
  /** Where to read on after what was taken. */
  taken: string | null | 0;
}

/** A page of a queue over several shards, in the order of the list of one. */
export async function mergeList(
  query: ListQuery,
  shards: number,
  list: (shard: number, query: ListQuery) => Promise<JobPage>,
): Promise<JobPage> {
  const { limit = DEFAULTS.pageLimit, cursor: from, positions: _, ...rest } = query;
  // A shard says what is wrong with it.
  if (!Number.isInteger(limit) || limit < 1 || limit > LIMITS.page) return list(0, { ...rest, limit });
  const cursors = from === undefined ? new Array<0>(shards).fill(0) : decode(from, shards);
  const sources = cursors.map((cursor): Source => ({ jobs: [], positions: [], at: 0, cursor, taken: cursor }));
  // A share of the page and some more of each: for an even spread one look is enough.
  const step = Math.max(1, Math.min(limit, Math.ceil((2 * limit) / shards)));
  const fill = async (source: Source, shard: number) => {
    const { cursor } = source;
    if (cursor === null || source.at < source.jobs.length) return;
    const page = await list(shard, {
      ...rest,
      limit: step,
      positions: true,
      // All of them are in memory at once.
      bytes: Math.floor(REPLY_BYTES / shards),
      ...(cursor !== 0 && { cursor }),
    });
    source.jobs = page.jobs;
    source.positions = page.positions ?? [];
    source.at = 0;
    source.cursor = page.cursor ?? null;
    // A page without jobs (seldom tags) is behind us.
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
 * The shard whose next job comes first; undefined where none has one, or where a shard has looked at as many as a page may
 * and found none: what it has further on may come before the others'.
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

/** A shard's cursor is URI-encoded: encoded twice it would be long. */
const encode = (cursors: Cursors): string =>
  encodeURIComponent(JSON.stringify(cursors.map((cursor) => (cursor ? decodeURIComponent(cursor) : cursor))));

function decode(cursor: string, shards: number): Cursors {
  try {
    const cursors = JSON.parse(decodeURIComponent(cursor)) as unknown;
    const isCursor = (one: unknown) => one === null || one === 0 || typeof one === "string";
    // Of fewer shards than there are: those that came since are read from their beginning.
    if (Array.isArray(cursors) && cursors.length <= shards && cursors.every(isCursor))
      return [
        ...(cursors as Cursors).map((one) => (one ? encodeURIComponent(one) : one)),
        ...new Array<0>(shards - cursors.length).fill(0),
      ];
  } catch {
    // Falls through to the error below, which says more.
  }
  throw new QuaysideError("invalid_option", "cursor is not one that a list call has answered.", { option: "cursor" });
}
