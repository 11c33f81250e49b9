import { escapePart } from "../job/place.ts";
import type { Dedupe, StoredJob } from "../job/record.ts";
import { isAhead } from "./mint.ts";
import { get, put, remove, scan } from "./operations.ts";
import type { DedupeRecord, Program } from "./store.ts";
import type { Turn } from "./turn.ts";

export const dedupeKey = (queue: string, key: string): readonly [string, string] => [escapePart(queue), key];

/**
 * `throttle`: the key is taken until its time, whatever the holder does. Every other mode: while its holder lives, and
 * until its time where it has one. A time reckoned from a clock that was ahead and was set back since does not count.
 */
export function isTaken(record: DedupeRecord, now: number): boolean {
  const timed = record.until !== undefined && record.until > now && !isAhead(record.since ?? 0, now);
  return timed || (record.mode !== "throttle" && !record.ended);
}

export function dedupeRecord(turn: Turn, job: StoredJob, { key, mode, ttlMs }: Dedupe): DedupeRecord {
  return {
    key: dedupeKey(job.queue, key),
    holder: job.id,
    mode,
    since: turn.now,
    ...(ttlMs !== undefined && { until: turn.now + ttlMs }),
  };
}

/** Keys looked at beside each batch of adds that use keys, at least, and for each key that it takes: enough to outrun the adds. */
const SWEEP_LEAST = 8;
const SWEEP_EACH = 2;

/** Removes lapsed keys that stand after the last of these, and from the first of the queue on where that is the end. */
export function* sweepAfter(turn: Turn, saved: readonly DedupeRecord[]): Program<void> {
  const last = saved[saved.length - 1];
  if (!last) return;
  const [queue, key] = last.key;
  const step = Math.max(SWEEP_LEAST, SWEEP_EACH * saved.length);
  const after = yield* scan("dedupe", { from: [queue, key], to: [`${queue}\u0001`] }, step);
  // Keys that grow (they tell a time, say) always end the line: those that lapse stand at its beginning.
  const before =
    after.length < step ? yield* scan("dedupe", { from: [queue], to: [queue, key] }, step - after.length) : [];
  yield* remove(
    "dedupe",
    [...after, ...before].filter((record) => !isTaken(record, turn.now)).map((record) => record.key),
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
  const found = yield* get(
    "dedupe",
    ended.map(({ key }) => key),
  );
  // A holder and its successor may end together: the second finds the record as the first has left it.
  const records = new Map(found.map((record) => [record && dedupeKeyText(record.key), record]));
  const changed = new Map<string, DedupeRecord["key"]>();
  const successors: { queue: string; id: string }[] = [];
  for (const { job, key } of ended) {
    const { id, queue } = job;
    const name = dedupeKeyText(key);
    const record = records.get(name);
    if (!record) continue;
    const { successor, ...rest } = record;
    if (successor !== id && record.holder !== id) continue;
    changed.set(name, key);
    if (successor === id) records.set(name, rest);
    else if (successor !== undefined) {
      records.set(name, { ...rest, holder: successor });
      successors.push({ queue, id: successor });
    } else if (record.until !== undefined && record.until > turn.now) records.set(name, { ...record, ended: true });
    else records.delete(name);
  }
  yield* put(
    "dedupe",
    [...changed.keys()].flatMap((name) => records.get(name) ?? []),
  );
  yield* remove(
    "dedupe",
    [...changed].filter(([name]) => !records.has(name)).map(([, key]) => key),
  );
  return successors;
}

export const dedupeKeyText = (key: DedupeRecord["key"]): string => JSON.stringify(key);
