import { type Adding, type AddPart, storedNow } from "../engine/add-batch.ts";
import { locate, moveEachJob } from "../engine/job-writer.ts";
import { NEVER } from "../engine/lapsing.ts";
import type { Plugin } from "../engine/plugin.ts";
import { isAhead } from "../engine/sequence-generator.ts";
import type { DedupeRecord, Program } from "../engine/store.ts";
import { get, put, remove } from "../engine/store-operations.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { EnqueueReceipt } from "../engine/verbs.ts";
import { toMs } from "../job/duration.ts";
import { QuaysideError, refused } from "../job/errors.ts";
import { checkName, escapePart } from "../job/job-keys.ts";
import type { DedupeOption, OptionParsers } from "../job/job-options.ts";
import type { Dedupe, DedupeMode, StoredJob } from "../job/job-record.ts";
import type { NewJob } from "../job/new-job.ts";
import { fields, oneOf, positiveMs } from "../job/option-checks.ts";
import { blocked, replaced, returned } from "../job/transitions.ts";

const FIELDS = ["key", "mode", "ttl", "wait", "maxWait"];
const DEDUPE_MODES: readonly DedupeMode[] = ["drop", "replace", "debounce", "throttle"];

/** Parser of the job option `dedupe`, for `addJob` and the other methods that read job options. */
export const DEDUPE_OPTIONS: OptionParsers = {
  dedupe(option: DedupeOption): { readonly dedupe: Dedupe; readonly delayMs?: number | undefined } {
    const { key, mode = "drop", ttl, wait, maxWait } = fields(option, "dedupe", FIELDS, "dedupe.");
    checkName(key, "dedupe.key");
    oneOf(mode, DEDUPE_MODES, "dedupe.mode");
    if (mode === "throttle" && ttl === undefined) throw refused("dedupe.ttl", 'is needed with mode "throttle"', ttl);
    const debounced = mode === "debounce";
    if (maxWait !== undefined && !debounced)
      throw refused("dedupe.maxWait", 'goes with mode "debounce" alone', maxWait);
    if (debounced !== (wait !== undefined))
      throw refused("dedupe.wait", `${debounced ? "is needed with" : "goes with"} mode "debounce"`, wait);
    return {
      ...(wait !== undefined && { delayMs: toMs(wait, "dedupe.wait") }),
      dedupe: {
        key,
        mode,
        ...(ttl !== undefined && { ttlMs: positiveMs(ttl, "dedupe.ttl") }),
        ...(maxWait !== undefined && { maxWaitMs: positiveMs(maxWait, "dedupe.maxWait") }),
      },
    };
  },
};

/**
 * Dedupe keys (R20 to R22): while the job that holds a key has not ended, or until a given time, no second job with the
 * key is added.
 */
export const dedupe: Plugin = {
  name: "dedupe",
  options: DEDUPE_OPTIONS,
  fields: ["dedupe"],
  marks: ["dedupe"],
  lapsing: {
    collection: "dedupe",
    // Two ranges: a store sorts names by UTF-16 units or by code points.
    ranges: [
      { from: [""], to: ["\uffff\uffff"] },
      { from: ["\uffff\uffff"], to: ["\u{10ffff}\u{10ffff}"] },
    ],
    /** A key whose job lives beyond its time lapses with the job. */
    until(record: DedupeRecord, now) {
      if (!isTaken(record, now)) return now;
      const { until = now } = record;
      return until > now ? until : NEVER;
    },
  },
  check({ dedupe }) {
    if (dedupe) checkName(dedupe.key, "dedupe.key");
  },
  *adding(add) {
    const keys = new AddedKeys(add);
    yield* keys.load();
    return keys;
  },
  *ended(tx, ends) {
    const successors = yield* freeKeys(
      tx,
      ends.map(({ job }) => job),
    );
    const jobs = yield* locate(successors);
    yield* moveEachJob(
      tx,
      jobs.filter((job) => job?.key[0] === "blocked").flatMap((job) => job ?? []),
      returned,
    );
  },
  *refusesRetry(tx, job) {
    if (!job.dedupe) return undefined;
    const [record] = yield* get("dedupe", [dedupeKey(job.queue, job.dedupe.key)]);
    if (!record || record.holder === job.id || !isTaken(record, tx.now)) return undefined;
    return new QuaysideError(
      "conflict",
      `Job ${job.id} cannot be retried: its dedupe key is taken by job ${record.holder}.`,
      { id: job.id, holder: record.holder },
    );
  },
  *retrying(tx, job) {
    if (job.dedupe) yield* put("dedupe", [dedupeRecord(tx, job, job.dedupe)]);
    return job;
  },
};

/** Returns the key of a dedupe record. */
export const dedupeKey = (queue: string, key: string): readonly [string, string] => [escapePart(queue), key];

/**
 * Returns whether a dedupe key is taken. Mode `throttle`: until the record's time. Other modes: while the job that
 * holds the key has not ended, and until the record's time if it has one. A time from before the clock was set back
 * does not count.
 */
export function isTaken(record: DedupeRecord, now: number): boolean {
  const timed = record.until !== undefined && record.until > now && !isAhead(record.since, now);
  return timed || (record.mode !== "throttle" && !record.ended);
}

export function dedupeRecord(tx: Transaction, job: StoredJob, { key, mode, ttlMs }: Dedupe): DedupeRecord {
  if (ttlMs !== undefined) tx.lapses(tx.now + ttlMs);
  return {
    key: dedupeKey(job.queue, key),
    holder: job.id,
    mode,
    since: tx.now,
    ...(ttlMs !== undefined && { until: tx.now + ttlMs }),
  };
}

export const dedupeKeyText = (key: DedupeRecord["key"]): string => JSON.stringify(key);

/** The dedupe keys of one add: those that are stored, and those that the add itself takes. */
class AddedKeys implements AddPart {
  readonly #add: Adding;
  readonly #tx: Transaction;
  readonly #records = new Map<string, DedupeRecord>();
  readonly #changed = new Set<string>();

  constructor(add: Adding) {
    this.#add = add;
    this.#tx = add.tx;
  }

  *load(): Program<void> {
    const keys: DedupeRecord["key"][] = [];
    for (const { queue, dedupe } of this.#add.jobs) if (dedupe) keys.push(dedupeKey(queue, dedupe.key));
    for (const record of yield* get("dedupe", keys)) if (record) this.#records.set(dedupeKeyText(record.key), record);
  }

  /** Returns the receipt of a job whose key is taken (R20); undefined if the key is free. */
  *answer(job: NewJob): Program<EnqueueReceipt | undefined> {
    if (!job.dedupe) return undefined;
    const record = this.#records.get(dedupeKeyText(dedupeKey(job.queue, job.dedupe.key)));
    if (!record || !isTaken(record, this.#tx.now)) return undefined;
    const { mode } = job.dedupe;
    if (record.ended || mode === "drop" || mode === "throttle") return { id: record.holder, deduplicated: true };
    return yield* this.#supersede(job, job.dedupe, record);
  }

  /** Records that a new job takes its key. */
  added(job: StoredJob): void {
    if (job.dedupe) this.#write(dedupeRecord(this.#tx, job, job.dedupe));
  }

  *save(): Program<void> {
    yield* put(
      "dedupe",
      [...this.#changed].map((name) => this.#records.get(name) as DedupeRecord),
    );
  }

  /**
   * Gives the waiting job that holds the dedupe key the new payload and options. If that job runs, adds one successor
   * (R21).
   */
  *#supersede(job: NewJob, dedupe: Dedupe, record: DedupeRecord): Program<EnqueueReceipt | undefined> {
    const id = record.successor ?? record.holder;
    const standing = yield* this.#add.standing({ queue: job.queue, id });
    if (!standing) return undefined;
    if (yield* this.#tx.holderOf(standing.key)) {
      const successor = storedNow(this.#tx, job);
      this.#add.place(blocked(successor, "successor", standing.id));
      this.#write({ ...this.#asOf(record, dedupe, this.#tx.now), successor: successor.id });
      return { id: successor.id, deduplicated: false };
    }
    const { now } = this.#tx;
    const { since } = record;
    const after = this.#asOf(record, dedupe, isAhead(since, now) ? now : since);
    const stand = dedupe.mode === "debounce" ? this.#startAnew(job, dedupe, after) : undefined;
    this.#add.change(standing, replaced(standing, job, now, stand));
    if (after.mode !== record.mode || after.since !== record.since) this.#write(after);
    return { id, deduplicated: true };
  }

  /** Returns the record of a key with the mode of a new job, and `since` as the time of the key's first add. */
  #asOf(record: DedupeRecord, { mode }: Dedupe, since: number): DedupeRecord {
    return { ...record, mode, since };
  }

  /**
   * Returns the new position of a debounced job, whose delay restarts now. The job is due at most `maxWaitMs` after the
   * key's first add (`since`).
   */
  #startAnew(job: NewJob, { maxWaitMs = Number.POSITIVE_INFINITY }: Dedupe, { since }: DedupeRecord) {
    const { now } = this.#tx;
    return this.#tx.nextPosition(Math.max(0, Math.min(job.delayMs ?? 0, since + maxWaitMs - now)));
  }

  #write(record: DedupeRecord): void {
    this.#records.set(dedupeKeyText(record.key), record);
    this.#changed.add(dedupeKeyText(record.key));
  }
}

/**
 * Frees the keys of ended jobs. Only the holder frees its key (compare and delete), and a key with a time stays taken
 * until then. Returns the successors that now hold their keys and may run.
 */
export function* freeKeys(
  tx: Transaction,
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
  // A holder and its successor may end together: the second reads the record as changed by the first.
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
    } else if (record.until !== undefined && record.until > tx.now) records.set(name, { ...record, ended: true });
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
