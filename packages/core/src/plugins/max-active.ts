import type { Plugin } from "../engine/plugin.ts";
import { countRunning } from "../engine/read-queue.ts";
import { queueOf } from "../job/job-keys.ts";

/** The limit of a queue on how many of its jobs run at once, over all workers. Who frees a slot tells the others. */
export const maxActive: Plugin = {
  name: "maxActive",
  settings: ["maxActive"],
  *claiming({ turn, queue, settings }) {
    if (settings.maxActive === undefined) return undefined;
    return { capacity: settings.maxActive - (yield* turn.leases()).heldOf(queue).length };
  },
  *opensAt(turn, queue) {
    const { maxActive: limit } = yield* turn.settings(queue);
    const full = limit !== undefined && (yield* countRunning(turn, queue)) >= limit;
    return full ? Number.POSITIVE_INFINITY : turn.now;
  },
  *attemptsEnded(turn, attempts) {
    for (const queue of new Set(attempts.map(({ key }) => queueOf(key))))
      if ((yield* turn.settings(queue)).maxActive !== undefined) turn.changed(queue, "ready");
  },
};
