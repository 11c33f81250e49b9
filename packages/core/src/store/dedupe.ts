import { escapePart } from "../job/place.ts";
import type { Dedupe, StoredJob } from "../job/record.ts";
import { get, put, remove, scan } from "./operations.ts";
import type { DedupeRecord, Program } from "./store.ts";
import type { Turn } from "./turn.ts";

export const dedupeKey = (queue: string, key: string): readonly [string, string] => [escapePart(queue), key];

/**
 * `throttle`: the key is taken until its time, whatever the holder does. Every other mode: while its holder lives, and
 * until its time where it has one.
 */
export function isTaken(record: DedupeRecord, now: number): boolean {
  const timed = record.until !== undefined && record.until > now;
  return timed || (record.mode !== "throttle" && !record.ended);
}

export function dedupeRecord(turn: Turn, job: StoredJob, { key, mode, ttlMs }: Dedupe): DedupeRecord {
  return {
    key: dedupeKey(job.queue, key),
    holder: job.id,
    mode,
    ...(ttlMs !== undefined && { until: turn.now + ttlMs }),
    ...(mode === "debounce" && { since: turn.now }),
  };
}

/** Lapsed keys removed at most beside each batch of adds that use keys: enough to outrun the adds, too few to be felt. */
const SWEEP_STEP = 8;

/** Removes lapsed keys that stand after this one. */
export function* sweepAfter(turn: Turn, [queue, key]: DedupeRecord["key"]): Program<void> {
  const next = yield* scan("dedupe", { from: [queue, key], to: [`${queue}\u0001`] }, SWEEP_STEP);
  yield* remove(
    "dedupe",
    next.filter((record) => !isTaken(record, turn.now)).map((record) => record.key),
  );
}

/**
 * Frees the keys of jobs that have ended: only their holder does (compare and delete), and a key stays while its time
 * has not run out. Answers the successors that now hold their keys and may run.
 */
export function* freeKeys(
  turn: Turn,
  jobs: readonly StoredJob[],
): Program<{ readonly queue: string; readonly id: string }[]> {
  const ended = jobs.flatMap((job) =>
    job.dedupe && job.key[0] !== "finished" ? [{ job, key: dedupeKey(job.queue, job.dedupe.key) }] : [],
  );
  if (ended.length === 0) return [];
  const records = yield* get(
    "dedupe",
    ended.map(({ key }) => key),
  );
  const kept: DedupeRecord[] = [];
  const freed: DedupeRecord["key"][] = [];
  const successors: { queue: string; id: string }[] = [];
  for (const [index, record] of records.entries()) {
    const { id, queue } = (ended[index] as (typeof ended)[number]).job;
    if (!record) continue;
    const { successor, ...rest } = record;
    if (successor === id) kept.push(rest);
    else if (record.holder !== id) continue;
    else if (successor !== undefined) {
      kept.push({ ...rest, holder: successor });
      successors.push({ queue, id: successor });
    } else if (record.until !== undefined && record.until > turn.now) kept.push({ ...record, ended: true });
    else freed.push(record.key);
  }
  yield* put("dedupe", kept);
  yield* remove("dedupe", freed);
  return successors;
}
