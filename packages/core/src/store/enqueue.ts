import { checkName, spellId } from "../job/place.ts";
import type { Dedupe, StoredJob } from "../job/record.ts";
import { readyKey } from "../job/transitions.ts";
import { dedupeKey, locate, place } from "./door.ts";
import { get, put, remove, scan } from "./operations.ts";
import type { DedupeRecord, Program } from "./store.ts";
import type { Turn } from "./turn.ts";
import type { EnqueueReceipt, NewJob } from "./verbs.ts";

/** Stores new jobs, all or none; one receipt a job, in order. Taken ids and dedupe keys answer the job that stands. */
export function* enqueue(turn: Turn, jobs: readonly NewJob[]): Program<readonly EnqueueReceipt[]> {
  jobs.forEach(checkNames);
  const taken = yield* takenIds(jobs);
  const keys = new DedupeKeys();
  yield* keys.load(jobs);
  const placed: StoredJob[] = [];
  const receipts = jobs.map((job): EnqueueReceipt => {
    const standing = (job.id !== undefined && taken.get(scoped(job.queue, job.id))) || keys.holderOf(turn, job);
    if (standing) return { id: standing, deduplicated: true };
    const stored = toStored(turn, job);
    placed.push(stored);
    if (job.id !== undefined) taken.set(scoped(job.queue, job.id), job.id);
    if (job.dedupe) keys.take(turn, stored, job.dedupe);
    return { id: stored.id, deduplicated: false };
  });
  yield* place(turn, placed);
  yield* keys.save(turn);
  return receipts;
}

/** One string for both, whatever characters they hold. */
const scoped = (queue: string, name: string): string => `${queue.length} ${queue}${name}`;

/** Names become keys (R4), and not every caller is a `Queue` that has checked them. */
function checkNames({ queue, name, id, dedupe }: NewJob): void {
  checkName(queue, "queue");
  checkName(name, "name");
  if (id !== undefined) checkName(id, "id");
  if (dedupe) checkName(dedupe.key, "dedupe.key");
}

/** The callers' own ids that stand already, kept results included. */
function* takenIds(jobs: readonly NewJob[]): Program<Map<string, string>> {
  const taken = new Map<string, string>();
  for (const [queue, ids] of groupBy(
    jobs.filter((job) => job.id !== undefined),
    (job) => job.queue,
    (job) => job.id as string,
  )) {
    for (const job of yield* locate(queue, ids)) if (job) taken.set(scoped(queue, job.id), job.id);
  }
  return taken;
}

function groupBy<T, V>(items: readonly T[], key: (item: T) => string, value: (item: T) => V): Map<string, V[]> {
  const groups = new Map<string, V[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(value(item));
    else groups.set(key(item), [value(item)]);
  }
  return groups;
}

function toStored(turn: Turn, job: NewJob): StoredJob {
  const { delayMs = 0, expiresInMs, priority = 0, id, ...rest } = job;
  const stand = turn.stand(delayMs);
  const key = readyKey(job.queue, priority, stand);
  return {
    ...rest,
    key,
    id: id ?? spellId(key),
    priority,
    addedAt: turn.now,
    availableAt: stand.at,
    ...(expiresInMs !== undefined && { expiresAt: turn.now + expiresInMs }),
  };
}

/** Lapsed keys removed at most beside each batch of adds that use keys: enough to outrun the adds, too few to be felt. */
const SWEEP_STEP = 8;

/** The dedupe keys of a batch: what stands in the store, and what the batch itself takes. */
class DedupeKeys {
  readonly #records = new Map<string, DedupeRecord>();
  readonly #taken = new Map<string, DedupeRecord>();

  *load(jobs: readonly NewJob[]): Program<void> {
    const keys = jobs.flatMap((job) => (job.dedupe ? [dedupeKey(job.queue, job.dedupe.key)] : []));
    for (const record of yield* get("dedupe", keys)) if (record) this.#records.set(scoped(...record.key), record);
  }

  /** The id of the job that holds the key of `job`, if any does. */
  holderOf(turn: Turn, job: NewJob): string | undefined {
    if (!job.dedupe) return undefined;
    const record = this.#records.get(scoped(...dedupeKey(job.queue, job.dedupe.key)));
    return record && isTaken(record, turn.now) ? record.holder : undefined;
  }

  take(turn: Turn, job: StoredJob, { key, mode, ttlMs }: Dedupe): void {
    const record = dedupeRecord(turn, job, { key, mode, ...(ttlMs !== undefined && { ttlMs }) });
    this.#records.set(scoped(...record.key), record);
    this.#taken.set(scoped(...record.key), record);
  }

  *save(turn: Turn): Program<void> {
    const records = [...this.#taken.values()];
    yield* put("dedupe", records);
    const last = records[records.length - 1];
    if (!last) return;
    const [queue, key] = last.key;
    const next = yield* scan("dedupe", { from: [queue, key], to: [`${queue}\u0001`] }, SWEEP_STEP);
    yield* remove(
      "dedupe",
      next.filter((record) => !isTaken(record, turn.now)).map((record) => record.key),
    );
  }
}

export function dedupeRecord(turn: Turn, job: StoredJob, { key, mode, ttlMs }: Dedupe): DedupeRecord {
  return {
    key: dedupeKey(job.queue, key),
    holder: job.id,
    mode,
    ...(ttlMs !== undefined && { until: turn.now + ttlMs }),
  };
}

/**
 * `drop`: taken while its holder lives, and until its time where it has one. `throttle`: until its time, whatever the
 * holder does.
 */
export function isTaken(record: DedupeRecord, now: number): boolean {
  const timed = record.until !== undefined && record.until > now;
  return timed || (record.mode === "drop" && !record.ended);
}
