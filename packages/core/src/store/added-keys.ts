import type { NewJob } from "../job/new-job.ts";
import type { Dedupe, StoredJob } from "../job/record.ts";
import { blocked, readyStored, replaced } from "../job/transitions.ts";
import { dedupeKey, dedupeKeyText, dedupeRecord, isTaken, sweepAfter } from "./dedupe.ts";
import { locate, move } from "./door.ts";
import { leaveGroup } from "./groups.ts";
import { memberName } from "./members.ts";
import { isAhead } from "./mint.ts";
import { get, put } from "./operations.ts";
import type { DedupeRecord, Program } from "./store.ts";
import type { Turn } from "./turn.ts";
import type { EnqueueReceipt } from "./verbs.ts";

/** The jobs that a call adds, and the dedupe keys they meet or take: what stands in the store, and what the call itself adds. */
export class AddedKeys {
  /** Jobs to be stored, in the order of their adding. */
  readonly placed: StoredJob[] = [];
  /** Waiting jobs that were given something new to do, by `memberName`. */
  readonly #moves = new Map<string, { readonly before: StoredJob; readonly job: StoredJob }>();
  readonly #turn: Turn;
  readonly #records = new Map<string, DedupeRecord>();
  readonly #changed = new Set<string>();

  constructor(turn: Turn) {
    this.#turn = turn;
  }

  *load(jobs: readonly NewJob[]): Program<void> {
    const keys: DedupeRecord["key"][] = [];
    for (const { queue, dedupe } of jobs) if (dedupe) keys.push(dedupeKey(queue, dedupe.key));
    for (const record of yield* get("dedupe", keys)) if (record) this.#records.set(dedupeKeyText(record.key), record);
  }

  /** A new job, which takes its key if it has one. */
  add(job: StoredJob): EnqueueReceipt {
    this.placed.push(job);
    if (job.dedupe) this.#write(dedupeRecord(this.#turn, job, job.dedupe));
    return { id: job.id, deduplicated: false };
  }

  /** What becomes of a job whose key is taken (R20); undefined when it is free. */
  *meet(job: NewJob): Program<EnqueueReceipt | undefined> {
    if (!job.dedupe) return undefined;
    const record = this.#records.get(dedupeKeyText(dedupeKey(job.queue, job.dedupe.key)));
    if (!record || !isTaken(record, this.#turn.now)) return undefined;
    const { mode } = job.dedupe;
    if (record.ended || mode === "drop" || mode === "throttle") return { id: record.holder, deduplicated: true };
    return yield* this.#supersede(job, job.dedupe, record);
  }

  *save(): Program<void> {
    const moves = [...this.#moves.values()].map(({ before, job }) => {
      if (before.group?.key !== job.group?.key) leaveGroup(this.#turn, before);
      return { from: before.key, job };
    });
    yield* move(this.#turn, moves);
    const records = [...this.#changed].map((name) => this.#records.get(name) as DedupeRecord);
    yield* put("dedupe", records);
    yield* sweepAfter(this.#turn, records);
  }

  /** A waiting holder is given the new payload and options; a running one gets a successor, of which there is one (R21). */
  *#supersede(job: NewJob, dedupe: Dedupe, record: DedupeRecord): Program<EnqueueReceipt> {
    const id = record.successor ?? record.holder;
    const index = this.placed.findIndex((one) => one.queue === job.queue && one.id === id);
    const standing = this.placed[index] ?? this.moved({ queue: job.queue, id }) ?? (yield* locate(job.queue, [id]))[0];
    if (!standing) return this.add(stored(this.#turn, job));
    const leases = yield* this.#turn.leases();
    if (leases.holderOf(standing.key)) {
      const successor = stored(this.#turn, job);
      this.placed.push(blocked(successor, "successor", standing.id));
      this.#write({ ...this.#asOf(record, dedupe, this.#turn.now), successor: successor.id });
      return { id: successor.id, deduplicated: false };
    }
    const { now } = this.#turn;
    const since = record.since ?? standing.addedAt;
    const after = this.#asOf(record, dedupe, isAhead(since, now) ? now : since);
    const stand = dedupe.mode === "debounce" ? this.#startAnew(job, dedupe, after) : undefined;
    const next = replaced(standing, job, now, stand);
    if (index >= 0) this.placed[index] = next;
    else this.#move(standing, next);
    if (after.mode !== record.mode || after.since !== record.since) this.#write(after);
    return { id, deduplicated: true };
  }

  /** The key under the rule of the job that holds it, or will: it is taken while that lives, and `since` its first add. */
  #asOf(record: DedupeRecord, { mode }: Dedupe, since: number): DedupeRecord {
    return { ...record, mode, since };
  }

  /** The delay begins again, but does not reach past `maxWait` after the first add. */
  #startAnew(job: NewJob, { maxWaitMs = Number.POSITIVE_INFINITY }: Dedupe, { since }: DedupeRecord) {
    const { now } = this.#turn;
    return this.#turn.stand(Math.max(0, Math.min(job.delayMs ?? 0, (since ?? now) + maxWaitMs - now)));
  }

  /** A job that existed, as this call has changed it. */
  moved({ queue, id }: Pick<StoredJob, "queue" | "id">): StoredJob | undefined {
    return this.#moves.get(memberName({ queue, id }))?.job;
  }

  /** Changes a job that existed where it stands. */
  change(job: StoredJob): void {
    this.#move(job, job);
  }

  #move(standing: StoredJob, job: StoredJob): void {
    const name = memberName(job);
    this.#moves.set(name, { before: this.#moves.get(name)?.before ?? standing, job });
  }

  #write(record: DedupeRecord): void {
    this.#records.set(dedupeKeyText(record.key), record);
    this.#changed.add(dedupeKeyText(record.key));
  }
}

/** A new job as it is first stored. */
export const stored = (turn: Turn, job: NewJob): StoredJob => readyStored(job, turn.stand(job.delayMs), turn.now);
