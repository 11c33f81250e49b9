import { moveEach } from "../engine/job-writer.ts";
import { scan, startingWith } from "../engine/operations.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Program } from "../engine/store.ts";
import type { Turn } from "../engine/transaction.ts";
import { blockedLane } from "../job/job-keys.ts";
import type { StoredJob } from "../job/job-record.ts";
import { blocked, returned } from "../job/transitions.ts";

/** Jobs that one claim moves out of the way, at most. */
const ASIDE_STEP = 100;
/** Jobs that come back in one exchange, of all names, at most (R32). */
const RETURN_STEP = 256;

/** Jobs whose names a worker does not know wait beside the line until a worker declares the name. */
export const unknownNames: Plugin = {
  name: "unknownNames",
  *beforeClaim(turn, { queue, names }) {
    yield* returnKnown(turn, queue, names);
  },
  *claiming({ turn, queue, names, foundUnknown }) {
    if (!names) return undefined;
    const known = new Set(names);
    const aside: StoredJob[] = [];
    return {
      get full() {
        return aside.length >= ASIDE_STEP;
      },
      takes(job) {
        if (known.has(job.name)) return true;
        aside.push(job);
        return false;
      },
      *finish() {
        if (aside.length === 0) return;
        yield* moveEach(turn, aside, (job) => blocked(job, "name", job.name));
        const unknown = new Set(aside.map(({ name }) => name));
        const settings = yield* turn.settings(queue);
        yield* turn.configure(queue, {
          ...settings,
          blockedNames: [...new Set([...(settings.blockedNames ?? []), ...unknown])],
        });
        for (const name of unknown) foundUnknown(name);
        // A worker that knows these names may be waiting.
        turn.changed(queue, "ready");
      },
    };
  },
};

/** Brings jobs back in line for a worker that declares their name, or that takes any. */
function* returnKnown(turn: Turn, queue: string, names: readonly string[] | undefined): Program<void> {
  const { blockedNames = [], ...rest } = yield* turn.settings(queue);
  const left: string[] = [];
  let room = RETURN_STEP;
  for (const name of blockedNames) {
    if (!names || names.includes(name)) {
      const jobs = yield* scan("jobs", startingWith("blocked", blockedLane(queue, "name", name)), room);
      yield* moveEach(turn, jobs, returned);
      room -= jobs.length;
      if (room > 0) continue;
    }
    left.push(name);
  }
  if (left.length < blockedNames.length)
    yield* turn.configure(queue, left.length > 0 ? { ...rest, blockedNames: left } : rest);
}
