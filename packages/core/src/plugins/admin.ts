import { moveEachJob, type Named } from "../engine/job-writer.ts";
import { type CommandOf, type CommandStep, eraseJobs, requestCancel, type Step } from "../engine/kernel-commands.ts";
import { walk } from "../engine/list-jobs.ts";
import type { Plugin } from "../engine/plugin.ts";
import { lookUp } from "../engine/read-queue.ts";
import type { Program } from "../engine/store.ts";
import { after, scan, startingWith } from "../engine/store-operations.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { CommandReply, JobFilter } from "../engine/verbs.ts";
import { QuaysideError } from "../job/errors.ts";
import { finishedLane } from "../job/job-keys.ts";
import type { JobKey, JobState, StoredJob } from "../job/job-record.ts";
import { again, reset, stateOf, updated } from "../job/transitions.ts";

/**
 * The commands of an operator, except those that cancel or remove one job: retry, promote, update, retry all, clear.
 */
export const admin: Plugin = {
  name: "admin",
  commands: {
    *retry(tx, named: CommandOf<"retry">) {
      const { job, state } = yield* existing(tx, named);
      const reply = yield* retry(tx, job, state);
      if (reply instanceof Error) throw reply;
      return reply;
    },
    *promote(tx, named: CommandOf<"promote">) {
      const { job, state } = yield* existing(tx, named);
      if (state === "waiting") return { affected: 0, state };
      if (state !== "delayed") throw refusal("promoted", job, state, "delayed");
      yield* moveEachJob(tx, [job], () => again(job, tx.nextPosition()));
      return { affected: 1, state: "waiting" };
    },
    /** Changes a waiting job's payload, priority or delay. A running or ended job is not changed. */
    *update(tx, { delayMs, ...change }: CommandOf<"update">) {
      const { job, state } = yield* existing(tx, change);
      if (state !== "waiting" && state !== "delayed") throw refusal("updated", job, state, "waiting or delayed");
      const next = updated(job, change, delayMs === undefined ? undefined : tx.nextPosition(delayMs));
      yield* moveEachJob(tx, [job], () => next);
      tx.changed(job.queue, "ready");
      return { affected: 1, state: stateOf(next.key, tx.now, false) };
    },
    retryAll,
    clear,
  },
};

function* existing(
  tx: Transaction,
  { queue, id }: Named,
): Program<{ readonly job: StoredJob; readonly state: JobState }> {
  const { job, state } = yield* lookUp(tx, { queue, id });
  if (job && state) return { job, state };
  throw new QuaysideError("job_not_found", `Queue ${queue} has no job ${id}.`, { queue, id });
}

/** Retries a job for an operator, as if it had never run. Returns an error without a change if the retry is refused. */
function* retry(tx: Transaction, job: StoredJob, state: JobState): Program<CommandReply | Error> {
  if (state !== "failed" && state !== "cancelled") return refusal("retried", job, state, "failed or cancelled");
  for (const plugin of tx.plugins.with("refusesRetry")) {
    const refused = yield* plugin.refusesRetry(tx, job);
    if (refused) return refused;
  }
  let next = reset(job, tx.nextPosition());
  for (const plugin of tx.plugins.with("retrying")) next = yield* plugin.retrying(tx, next);
  yield* moveEachJob(tx, [job], () => next);
  return { affected: 1, state: "waiting" };
}

const refusal = (verb: string, job: StoredJob, state: JobState, wanted: string): QuaysideError =>
  new QuaysideError("conflict", `Job ${job.id} is ${state}: only a ${wanted} job can be ${verb}.`, {
    id: job.id,
    state,
  });

/** Number of jobs that one step of a long command changes. Other workers' claims run between two steps (R32). */
const STEP = 256;

/**
 * Returns whether a job existed when a command of several steps began (`began`); the command changes no later job.
 * Within one millisecond, `order` decides. A job with a future time was added before the clock was set back.
 */
const stoodBy = (job: StoredJob, { at, order }: Transaction["standing"], now: number): boolean =>
  job.addedAt < at || job.addedAt > now || (job.addedAt === at && job.key[4] <= order);

function* clear(tx: Transaction, request: CommandOf<"clear">, from: Step | undefined): Program<CommandStep> {
  const { queue, state } = request;
  const began = from?.began ?? tx.standing;
  const { found, next } = yield* walk(tx, queue, state, from, STEP);
  const running: StoredJob[] = [];
  const others: StoredJob[] = [];
  for (const { job } of found) {
    if ((!from || stoodBy(job, began, tx.now)) && fits(job, request, began.at))
      ((yield* tx.holderOf(job.key)) ? running : others).push(job);
  }
  const affected = running[0] ? (yield* requestCancel(tx, queue, running, "remove")).affected : 0;
  yield* eraseJobs(tx, others);
  return { affected: affected + others.length, ...(next && { next: { ...next, began } }) };
}

function* retryAll(tx: Transaction, request: CommandOf<"retryAll">, from: Step | undefined): Program<CommandStep> {
  const { queue, state = "failed" } = request;
  const lane = startingWith("finished", finishedLane(queue, state));
  // Oldest first, and without jobs that fail again meanwhile.
  const until = from?.until ?? (yield* scan("jobs", lane, 1, "reverse"))[0]?.key;
  if (!until) return { affected: 0 };
  const found: readonly StoredJob[] = yield* scan(
    "jobs",
    { from: from?.key ? after(from.key) : lane.from, to: after(until) },
    STEP,
  );
  let affected = 0;
  for (const job of found) {
    if (!fits(job, request, tx.now)) continue;
    // A job that cannot be retried stays as it is; the others are retried.
    if (!((yield* retry(tx, job, state)) instanceof Error)) affected++;
  }
  const last = found[STEP - 1];
  return { affected, ...(last && { next: { stretch: 0, key: last.key, until: until as JobKey } }) };
}

/** Returns whether a job matches a filter. */
function fits(job: StoredJob, { name, tags, olderThanMs }: JobFilter, now: number): boolean {
  return (
    (name === undefined || job.name === name) &&
    (tags === undefined || tags.every((tag) => job.tags?.includes(tag))) &&
    (olderThanMs === undefined || (job.finishedAt ?? job.addedAt) < now - olderThanMs)
  );
}
