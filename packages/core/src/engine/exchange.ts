import { append } from "../job/append-to-list.ts";
import { QuaysideError, refused } from "../job/errors.ts";
import { decodeId, queueOf } from "../job/job-keys.ts";
import type { JobKey, StoredJob } from "../job/job-record.ts";
import { memberName } from "../job/job-reference.ts";
import { utf8Bytes } from "../job/json.ts";
import * as LIMITS from "../job/limits.ts";
import { toJobRecord } from "../job/transitions.ts";
import { claim } from "./claim.ts";
import { claimedQueues } from "./claimed-queues.ts";
import { bringBack } from "./clock-set-back.ts";
import { endJobs, isPlain, locate, readStretch } from "./job-writer.ts";
import { type Judge, lookAgainAt, recover } from "./recover.ts";
import { effects } from "./run-transaction.ts";
import { release, settle } from "./settle.ts";
import type { Held, Key, LeaseRecord, Program } from "./store.ts";
import { get } from "./store-operations.ts";
import type { Transaction } from "./transaction.ts";
import type { AttemptReport, ClaimedJob, ExchangeReply, ExchangeRequest } from "./verbs.ts";

/**
 * Runs one exchange of a worker: answers a repeat as before, settles ended attempts, releases jobs that the worker does
 * not list, renews the rest, and only then recovers jobs of other workers and claims. In this order, a live worker
 * keeps its jobs.
 */
export function* exchange(
  tx: Transaction,
  request: ExchangeRequest,
  judge: Judge,
  stretch?: ClaimedStretch,
  sweep?: Sweep,
): Program<ExchangeReply> {
  checkWorker(request.worker);
  const queues = claimedQueues(request);
  tx.by = request.worker;
  let ahead: readonly JobKey[] | undefined;
  function* readAhead({ first, last, jobs }: ClaimedStretch): Program<void> {
    ahead = yield* readStretch(first, last, jobs);
  }
  const turn = queues[request.exchange % queues.length];
  yield* tx.prepare(queues, [
    ...(stretch && request.settle.length > 2 ? [readAhead(stretch)] : []),
    ...(turn && request.claim.limit > 0 ? tx.plugins.with("prepare").map((plugin) => plugin.prepare(tx, turn)) : []),
  ]);
  tx.reply?.atMost(request.claim.bytes);
  const leases = yield* tx.leases();
  const before = leases.of(request.worker);
  if (before && request.exchange <= before.exchange) return yield* repeat(tx, request, before);

  // Reports come first, so that an attempt that ends in this exchange keeps its last ones.
  const reported = withReports(tx, before?.held ?? [], request.progress ?? []);
  const { left, lost, stays } = yield* settle(tx, request.settle, reported, ahead);
  const running = new Set(request.running);
  const known: Held[] = [];
  const dropped: Held[] = [];
  for (const held of left) (running.delete(held.token) ? known : dropped).push(held);
  yield* release(tx, dropped);
  append(lost, running);
  if (left.length === 0 && isFutile(request, lost))
    return { exchange: request.exchange, jobs: [], lost, cancel: [], interrupted: [], unknown: [], futile: true };

  const lease: LeaseRecord = {
    key: [request.worker],
    ...(request.name !== undefined && { name: request.name }),
    liveness: request.liveness,
    leaseMs: request.leaseMs,
    renewedAt: tx.now,
    expiresAt: tx.now + request.leaseMs,
    exchange: request.exchange,
    ...(lost.length > 0 && { lost }),
    held: known,
  };
  leases.set(lease);

  const { interrupted, more: unrecovered } = request.bystander
    ? { interrupted: [], more: false }
    : yield* recover(tx, request, judge);
  // Parents whose last child has ended, and jobs whose group has room again, can be claimed in this exchange.
  yield* effects(tx);
  const swept = sweep ? yield* sweepNext(tx, queues, sweep) : false;
  const claimed = yield* claim(tx, request.claim, lease.held, request.settle.length);
  append(interrupted, yield* endJobs(tx, claimed.over));
  let followsAt = Number.POSITIVE_INFINITY;
  for (const plugin of tx.plugins.with("claimed"))
    followsAt = Math.min(followsAt, yield* plugin.claimed(tx, claimed.jobs));
  const fresh = claimed.jobs.map((job, index) => toHeld(tx, job, `${request.exchange}.${index}`, claimed.alone));
  const next = {
    ...lease,
    held: [...lease.held, ...fresh],
    ...(interrupted.length > 0 && { interrupted: interrupted.map(memberName) }),
  };
  // An idle exchange writes nothing. Neither does one whose tokens are all lost: a repeat finds them lost again.
  const idle = next.held.length + interrupted.length + (before?.held.length ?? 0) === 0;
  // A worker that dies with its process repeats no exchange. If it has only lost jobs that no longer exist, the
  // previous lease record is equivalent, so this one need not be written.
  const deferrable =
    request.liveness === "process" &&
    !stays &&
    left.length === known.length &&
    fresh.length + interrupted.length + (request.progress?.length ?? 0) === 0;
  if (request.leave && next.held.length === 0) leases.delete(request.worker);
  else if (idle) leases.restore(request.worker, before);
  else leases.set(next, deferrable);
  for (const job of claimed.jobs) tx.changed(job.queue, "active");

  // Effects of the claim itself (such as a parent of an expired job) are reported to this worker only.
  const more = yield* effects(tx);
  const lookAt = lookAgainAt(leases.all(), request.worker, tx.now, judge);
  const wakeAt =
    more || swept || unrecovered || tx.searchAt <= tx.now ? tx.now : Math.min(claimed.wakeAt, followsAt, lookAt);
  return {
    exchange: request.exchange,
    jobs: yield* toClaimed(tx, claimed.jobs, fresh),
    lost,
    cancel: known.filter((held) => held.cancel).map((held) => held.token),
    interrupted: interrupted.map((job) => toJobRecord(job, tx.now)),
    unknown: claimed.unknown,
    ...(claimed.closed && { alone: true }),
    ...(wakeAt < Number.POSITIVE_INFINITY && { nextWakeMs: Math.max(0, wakeAt - tx.now) }),
  };
}

/**
 * By queue, the key at which the repair after a clock that was set back continues; `null` when it has reached the end.
 */
export type Sweep = Map<string, Key | null>;

/**
 * Moves jobs with times from before the clock was set back, a limited number of keys per exchange. Returns whether more
 * keys are left.
 */
function* sweepNext(tx: Transaction, queues: readonly string[], sweep: Sweep): Program<boolean> {
  for (const queue of queues) {
    const from = sweep.get(queue);
    if (from === null) continue;
    sweep.set(queue, (yield* bringBack(tx, queue, from)).next);
    break;
  }
  return queues.some((queue) => sweep.get(queue) !== null);
}

/**
 * Returns whether an exchange changed nothing: every token of the request is lost, and it neither claims nor leaves.
 */
const isFutile = ({ settle, running, claim, leave }: ExchangeRequest, lost: readonly string[]): boolean =>
  lost.length > 0 && lost.length === settle.length + running.length && claim.limit === 0 && !leave;

/**
 * The key range of the jobs of one claim, if all have the same lane and rank and generated ids: see `claimedStretch`.
 */
export interface ClaimedStretch {
  readonly first: JobKey;
  readonly last: JobKey;
  readonly jobs: number;
}

/**
 * Returns the key range of claimed jobs; undefined if they do not have one. The worker's next exchange reads the range
 * together with the lease, which saves a read.
 */
export function claimedStretch(jobs: readonly ClaimedJob[]): ClaimedStretch | undefined {
  const [first, last] = [jobs[0], jobs[jobs.length - 1]].map((claimed) => claimed && keyOf(claimed));
  return first && last && first[1] === last[1] && first[2] === last[2] ? { first, last, jobs: jobs.length } : undefined;
}

const keyOf = ({ job }: ClaimedJob): JobKey | undefined => decodeId(job.queue, job.id);

/** Checks a worker key: printable ASCII, because leases are read as one range of keys. */
export function checkWorker(worker: string): void {
  if (!/^[!-~]{1,128}$/.test(worker)) {
    throw refused("worker", "must be 1 to 128 characters of printable ASCII", worker);
  }
}

/** Refuses a queue that is named twice: its jobs could be claimed twice. */
/** Adds the progress and log lines of running attempts to their lease entries. The jobs' records do not change. */
function withReports(tx: Transaction, held: readonly Held[], reports: readonly AttemptReport[]): readonly Held[] {
  if (reports.length === 0) return held;
  const byToken = new Map(reports.map((report) => [report.token, report]));
  const next = held.map((entry) => {
    const report = byToken.get(entry.token);
    if (!report) return entry;
    tx.changed(queueOf(entry.key), "progress");
    const logs = report.log && [...(entry.logs ?? []), ...report.log].slice(-LIMITS.logLines);
    return { ...entry, ...(report.value !== undefined && { progress: report.value }), ...(logs && { logs }) };
  });
  return withinBounds(next);
}

const reportBytes = ({ logs = [], progress = null }: Held): number => utf8Bytes(JSON.stringify([logs, progress]), 0);

const CUT_LINES = "… (cut: the jobs of this worker log more than is kept)";
const CUT_PROGRESS = "… (cut: the jobs of this worker report more than is kept)";

/**
 * Shortens the reports in a lease to `LIMITS.reportBytes`, because a lease is one record with a size limit (R29). Drops
 * the log lines of the earliest claimed attempts first, then their progress.
 */
function withinBounds(held: readonly Held[]): readonly Held[] {
  let over = held.reduce((bytes, entry) => bytes + reportBytes(entry), -LIMITS.reportBytes);
  const next = [...held];
  for (const cut of [{ logs: [CUT_LINES] }, { progress: CUT_PROGRESS }]) {
    for (const [index, entry] of next.entries()) {
      if (over <= 0) return next;
      const shorter = { ...entry, ...cut };
      const saved = reportBytes(entry) - reportBytes(shorter);
      if (saved > 0) {
        over -= saved;
        next[index] = shorter;
      }
    }
  }
  return next;
}

/**
 * Answers a repeated exchange with the reply of the first one (R9). Tokens contain the number of their exchange, and
 * the records of held jobs do not change, so the reply can be built again.
 */
function* repeat(tx: Transaction, request: ExchangeRequest, lease: LeaseRecord): Program<ExchangeReply> {
  if (request.exchange < lease.exchange) {
    throw new QuaysideError("stale_exchange", `Exchange ${request.exchange} came after exchange ${lease.exchange}.`, {
      exchange: request.exchange,
      last: lease.exchange,
    });
  }
  const claimed = lease.held.filter((held) => held.token.startsWith(`${request.exchange}.`));
  const jobs = yield* get(
    "jobs",
    claimed.map((held) => held.key),
  );
  const interrupted = yield* locate(
    (lease.interrupted ?? []).map((name) => {
      const [queue, id] = JSON.parse(name) as [string, string];
      return { queue, id };
    }),
  );
  return {
    exchange: request.exchange,
    jobs: yield* toClaimed(tx, jobs, claimed),
    lost: lease.lost ?? [],
    cancel: lease.held.filter((held) => held.cancel).map((held) => held.token),
    interrupted: interrupted.flatMap((job) => (job ? toJobRecord(job, tx.now) : [])),
    unknown: [],
    ...(lease.held.some(({ alone }) => alone) && { alone: true }),
    nextWakeMs: 0,
  };
}

/** Returns claimed jobs in the form in which the worker gets them. */
function* toClaimed(
  tx: Transaction,
  jobs: readonly (StoredJob | undefined)[],
  held: readonly Held[],
): Program<readonly ClaimedJob[]> {
  const claimed: ClaimedJob[] = [];
  for (let index = 0; index < jobs.length; index++) {
    const job = jobs[index];
    const run = held[index];
    if (!job || !run) continue;
    let one: ClaimedJob = { token: run.token, job: toJobRecord(job, tx.now, run) };
    for (const plugin of tx.plugins.for("reply", "marks", [job])) {
      const fields = yield* plugin.reply(tx, job);
      if (fields) one = { ...one, ...fields };
    }
    claimed.push(one);
  }
  return claimed;
}

function toHeld(tx: Transaction, job: StoredJob, token: string, alone: boolean): Held {
  const { key, id } = job;
  const held: { -readonly [Name in keyof Held]: Held[Name] } = { key, id, token, startedAt: tx.now };
  if (isPlain(tx, job)) held.plain = true;
  else for (const plugin of tx.plugins.with("held")) Object.assign(held, plugin.held(job));
  if (alone) held.alone = true;
  return held;
}
