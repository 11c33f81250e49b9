import type { Plugin } from "../engine/plugin.ts";
import { countRunning } from "../engine/read-queue.ts";
import { queueOf } from "../job/job-keys.ts";

/**
 * Enforces the setting `maxActive`: limits how many of a queue's jobs run at once, over all workers. When a job of such
 * a queue ends, notifies the other workers.
 */
export const maxActive: Plugin = {
  name: "maxActive",
  settings: ["maxActive"],
  *claiming({ tx, queue, settings }) {
    if (settings.maxActive === undefined) return undefined;
    return { capacity: settings.maxActive - (yield* tx.leases()).heldOf(queue).length };
  },
  *opensAt(tx, queue) {
    const { maxActive: limit } = yield* tx.settings(queue);
    const full = limit !== undefined && (yield* countRunning(tx, queue)) >= limit;
    return full ? Number.POSITIVE_INFINITY : tx.now;
  },
  *attemptsEnded(tx, attempts) {
    for (const queue of new Set(attempts.map(({ key }) => queueOf(key))))
      if ((yield* tx.settings(queue)).maxActive !== undefined) tx.changed(queue, "ready");
  },
};
