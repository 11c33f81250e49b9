import { refused } from "../job/errors.ts";
import { queueOf, sameKey } from "../job/job-keys.ts";
import type { JobKey, StoredJob } from "../job/job-record.ts";
import type { Json } from "../job/json.ts";
import { type Ending, isSpent, keepOf, paceOf, released, retried, type Seen } from "../job/transitions.ts";
import { type End, endJobs, endPlainJobs, type Move, moveJobs } from "./job-writer.ts";
import type { Held, Program } from "./store.ts";
import { get } from "./store-operations.ts";
import type { Transaction } from "./transaction.ts";
import type { Settlement } from "./verbs.ts";

/**
 * Settles attempts of a worker. A token that the lease does not list is lost and changes nothing. Returns the remaining
 * lease entries, the lost tokens, and whether a released job keeps its position. The caller writes the lease.
 *
 * @param present keys of the stored jobs in the range of the held jobs, if the caller has read them.
 */
export function* settle(
  tx: Transaction,
  settlements: readonly Settlement[],
  held: readonly Held[],
  present?: readonly JobKey[],
): Program<{ left: readonly Held[]; lost: string[]; stays: boolean }> {
  const entries: (Held | undefined)[] = [...held];
  let next = 0;
  let positions: Map<string, number> | undefined;
  const lost: string[] = [];
  const plain: Held[] = [];
  const rest: { entry: Held; settlement: Settlement }[] = [];
  const keepsNone = new Map<string, boolean>();
  for (const settlement of settlements) {
    // Attempts usually end in the order in which they were claimed, which needs no lookup.
    if (entries[next]?.token !== settlement.token) {
      positions ??= new Map(held.map(({ token }, index) => [token, index]));
      next = positions.get(settlement.token) ?? held.length;
    }
    const entry = entries[next];
    if (!entry) {
      lost.push(settlement.token);
      continue;
    }
    entries[next++] = undefined;
    // A plain, completed job that is not kept is ended without reading its record.
    if (entry.plain && settlement.outcome === "completed") {
      const queue = queueOf(entry.key);
      if (!keepsNone.has(queue))
        keepsNone.set(queue, keepOf(undefined, (yield* tx.settings(queue)).keep, "completed") === 0);
      if (entry.cancel === "remove" || keepsNone.get(queue)) {
        plain.push(entry);
        continue;
      }
    }
    rest.push({ entry, settlement });
  }
  yield* endPlainJobs(
    tx,
    plain.map((entry) => entry.key),
    present,
  );

  const jobs = yield* get(
    "jobs",
    rest.map(({ entry }) => entry.key),
  );
  const ends: End[] = [];
  const moves: Move[] = [];
  let stays = false;
  for (const [index, { entry, settlement }] of rest.entries()) {
    const job = jobs[index];
    if (!job) continue;
    const fate = decide(tx, job, entry, settlement);
    if ("ending" in fate) {
      ends.push(fate);
      continue;
    }
    moves.push({ before: job, job: fate.job });
    if (sameKey(fate.job.key, job.key)) {
      stays = true;
      tx.changed(job.queue, "ready");
    }
  }
  yield* moveJobs(tx, moves);
  yield* endJobs(tx, ends);
  return { left: entries.filter((entry) => entry !== undefined), lost, stays };
}

/** Returns the fields that an attempt adds to its job's record, such as its log lines. */
export const seenOf = ({ startedAt, progress, logs }: Held): Seen & { readonly progress?: Json } => ({
  startedAt,
  ...(progress !== undefined && { progress }),
  ...(logs && { logs }),
});

/**
 * Decides the effect of an attempt's outcome on its job: the end of the job, or its next record. A record with the same
 * key keeps its position.
 */
function decide(
  tx: Transaction,
  job: StoredJob,
  entry: Held,
  settlement: Settlement,
): End | { readonly job: StoredJob } {
  const finish = (ending: Ending): End => ({
    job,
    ending: { ...seenOf(entry), ...ending },
    trace: entry.cancel !== "remove",
  });
  switch (settlement.outcome) {
    case "completed":
      return finish({
        state: "completed",
        counted: true,
        ...(settlement.result !== undefined && { result: settlement.result }),
      });
    case "cancelled":
      return finish({ state: "cancelled", counted: true });
    case "failed": {
      const { error, retryMs } = settlement;
      if (entry.cancel) return finish({ state: "cancelled", counted: true, error });
      if (retryMs === undefined || isSpent(job, error)) return finish({ state: "failed", counted: true, error });
      const pace = paceOf(job, retryMs);
      return { job: retried(job, tx.nextPosition(pace.delayMs), pace, error, entry) };
    }
    case "released": {
      if (entry.cancel) return finish({ state: "cancelled" });
      const pace = paceOf(job, settlement.delayMs);
      // Without a delay, the job keeps its position.
      return { job: released(job, pace.delayMs === 0 ? undefined : tx.nextPosition(pace.delayMs), pace, entry) };
    }
    default:
      throw refused("outcome", "is unknown", (settlement as Settlement).outcome);
  }
}

/**
 * Releases jobs that are in the worker's lease, but not in the worker: their handlers have not started, so no attempt
 * counts.
 */
export function* release(tx: Transaction, held: readonly Held[]): Program<void> {
  for (const entry of held) tx.changed(queueOf(entry.key), "ready");
  yield* endCancelled(
    tx,
    held.filter((entry) => entry.cancel),
  );
}

/** Ends running jobs as `cancelled` whose cancellation was requested, without waiting for their handlers. */
export function* endCancelled(tx: Transaction, held: readonly Held[]): Program<void> {
  const jobs = yield* get(
    "jobs",
    held.map((entry) => entry.key),
  );
  yield* endJobs(
    tx,
    held.flatMap((entry, index) => {
      const job = jobs[index];
      return job
        ? [
            {
              job,
              ending: { state: "cancelled", ...seenOf(entry) } as const,
              trace: entry.cancel !== "remove",
            },
          ]
        : [];
    }),
  );
}
