import { moveEachJob } from "../engine/job-writer.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Program } from "../engine/store.ts";
import { compareKeys, scan, scanKeys, startingWith } from "../engine/store-operations.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { ClaimQueue } from "../engine/verbs.ts";
import { append } from "../job/append-to-list.ts";
import { blockedLane, blockOf } from "../job/job-keys.ts";
import type { StoredJob } from "../job/job-record.ts";
import { blocked, returned } from "../job/transitions.ts";

/** Maximum number of jobs that one exchange unblocks, over all names (R32). */
const RETURN_STEP = 256;

/** Blocks jobs whose names have no handler in the claiming worker, and unblocks them when a worker has one. */
export const unknownNames: Plugin = {
  name: "unknownNames",
  leaving(tx, { queue, key }) {
    const [reason, name = ""] = blockOf(key) ?? [];
    if (reason === "name") noteLeft(tx, queue, name);
  },
  beforeClaim: returnKnown,
  *claiming({ tx, queue, names, foundUnknown }) {
    if (!names) return undefined;
    const known = new Set(names);
    return {
      takes: ({ name }) => known.has(name),
      *finish(_, aside) {
        if (aside.length === 0) return;
        tx.used.add(unknownNames.name);
        yield* moveEachJob(tx, aside, (job) => blocked(job, "name", job.name));
        const unknown = new Set(aside.map(({ name }) => name));
        const settings = yield* tx.settings(queue);
        yield* tx.configure(queue, {
          ...settings,
          blockedNames: [...new Set([...(settings.blockedNames ?? []), ...unknown])],
        });
        for (const name of unknown) foundUnknown(name);
        // A worker with handlers for these names may be waiting.
        tx.changed(queue, "ready");
      },
    };
  },
};

/** Lanes of the blocked names of which this transaction may have unblocked or deleted the last job. */
const LEFT = new WeakMap<Transaction, Set<string>>();

function noteLeft(tx: Transaction, queue: string, name: string): void {
  const left = LEFT.get(tx) ?? new Set();
  const lane = blockedLane(queue, "name", name);
  if (!left.has(lane)) tx.atEnd(() => unlist(tx, queue, name));
  LEFT.set(tx, left.add(lane));
}

/**
 * Unblocks jobs for a worker that has a handler for their names, or that takes any name. Of each name, as many as it
 * claims: another worker would block the rest again.
 */
function* returnKnown(tx: Transaction, { queue, names, batch, limit = RETURN_STEP }: ClaimQueue): Program<void> {
  // The jobs of a batch return when it is complete.
  if (batch) return;
  const { blockedNames = [] } = yield* tx.settings(queue);
  const known: StoredJob[] = [];
  for (const name of blockedNames) {
    if (names && !names.includes(name)) continue;
    const lane = startingWith("blocked", blockedLane(queue, "name", name));
    append(known, yield* scan("jobs", lane, Math.min(RETURN_STEP - known.length, limit)));
    noteLeft(tx, queue, name);
  }
  // All at once and in order: the limit of a group that has none is that of its first job.
  known.sort((a, b) => compareKeys(a.key.slice(2), b.key.slice(2)));
  yield* moveEachJob(tx, known, returned);
}

/** Removes a name from the queue's list of blocked names if no blocked job has it. */
function* unlist(tx: Transaction, queue: string, name: string): Program<void> {
  const { blockedNames = [], ...rest } = yield* tx.settings(queue);
  if (!blockedNames.includes(name)) return;
  if ((yield* scanKeys("jobs", startingWith("blocked", blockedLane(queue, "name", name)), 1)).length > 0) return;
  const left = blockedNames.filter((other) => other !== name);
  yield* tx.configure(queue, left.length > 0 ? { ...rest, blockedNames: left } : rest);
}
