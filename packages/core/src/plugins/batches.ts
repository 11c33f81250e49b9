import type { ClaimPart, QueueClaim } from "../engine/claim.ts";
import { moveEachJob } from "../engine/job-writer.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Program } from "../engine/store.ts";
import { get, scan, scanKeys, startingWith } from "../engine/store-operations.ts";
import { refused } from "../job/errors.ts";
import { blockedLane } from "../job/job-keys.ts";
import type { JobKey, StoredJob } from "../job/job-record.ts";
import * as LIMITS from "../job/limits.ts";
import { integer } from "../job/option-checks.ts";
import { returned } from "../job/transitions.ts";

/**
 * Claims batches: up to `size` jobs of one name in one exchange, once as many are due or the oldest of them has waited.
 * Until then the jobs are blocked by their name: a worker of batches lists the name in no other claim, so `unknownNames`
 * moves them out of the way of the other jobs when a claim reaches them.
 */
export const batches: Plugin = { name: "batches", claiming: claimOf };

function* claimOf({ tx, queue, names, batch }: QueueClaim): Program<ClaimPart | undefined> {
  if (!batch) return undefined;
  const [name, other] = names ?? [];
  if (name === undefined || other !== undefined) throw refused("claim.names", "must be one name, for a batch", names);
  const size = integer(batch.size, 1, LIMITS.claim, "claim.batch.size");
  const waitMs = integer(batch.waitMs, 0, LIMITS.batchWaitMs, "claim.batch.waitMs");
  const lane = startingWith("blocked", blockedLane(queue, "name", name));
  const keys = yield* scanKeys("jobs", lane, size);
  let wakeAt = keys.length >= size ? tx.now : Number.POSITIVE_INFINITY;
  // All of these jobs were due when they were blocked. A later time is from a clock that has been set back since (R23).
  for (const [, , , at] of keys) wakeAt = Math.min(wakeAt, at > tx.now ? tx.now : at + waitMs);
  let left = wakeAt > tx.now ? 0 : size;
  const due = {
    wakeAt,
    /** Moves the first jobs of the batch to the ready ones. A job whose group has no room moves to its group instead. */
    *next(want: number): Program<readonly StoredJob[]> {
      while (left > 0) {
        const jobs = yield* scan("jobs", lane, Math.min(want, left));
        left -= jobs.length;
        if (jobs.length < want) left = 0;
        yield* moveEachJob(tx, jobs, returned);
        const moved = yield* get("jobs", jobs.map(readyKey));
        const ready = moved.filter((job) => job !== undefined);
        // Further jobs of a batch that limits have divided can be claimed as soon as the limits allow.
        due.wakeAt = left > 0 ? tx.now : Number.POSITIVE_INFINITY;
        if (ready.length > 0) return ready;
      }
      return [];
    },
  };
  return { due };
}

const readyKey = (job: StoredJob): JobKey => returned(job).key;
