import type { Plugin } from "../engine/plugin.ts";
import { countRunning, unendedTallies } from "../engine/read-queue.ts";
import { together } from "../engine/store-operations.ts";
import { QuaysideError } from "../job/errors.ts";

/** Time after which a caller may try a refused add again, in ms. No one can compute when a backlog will be shorter. */
const RETRY_MS = 1_000;

/**
 * Enforces the setting `maxWaiting` of a queue: refuses an add, as a whole, after which more jobs would wait. Jobs wait
 * until they run: due, delayed and blocked ones. Retries, occurrences and other jobs that the queue itself places are
 * never refused.
 */
export const maxWaiting: Plugin = {
  name: "maxWaiting",
  settings: ["maxWaiting"],
  *admitting(tx, jobs) {
    const added = new Map<string, number>();
    for (const { queue } of jobs) added.set(queue, (added.get(queue) ?? 0) + 1);
    // The counts are read with the settings, in one step: storing the jobs needs them in any case.
    yield* together([...[...added.keys()].map((queue) => tx.settings(queue)), tx.readTallies(added.keys())]);
    for (const [queue, count] of added) {
      const { maxWaiting: limit } = yield* tx.settings(queue);
      if (limit === undefined) continue;
      if (count > limit)
        throw new QuaysideError("too_large", `Queue ${queue} takes at most ${limit} waiting jobs, got ${count}.`, {
          limit,
          queue,
        });
      const { ready, blocked } = yield* unendedTallies(tx, queue);
      const over = ready + blocked + count - limit;
      // Running jobs, which are among the ready ones, are counted only if they decide.
      if (over <= 0 || over <= (yield* countRunning(tx, queue))) continue;
      throw new QuaysideError("queue_full", `Queue ${queue} is full: at most ${limit} of its jobs may wait.`, {
        queue,
        limit,
        retryAfterMs: RETRY_MS,
      });
    }
  },
};
