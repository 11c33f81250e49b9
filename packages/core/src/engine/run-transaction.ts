import { sweepLapsed } from "./lapsing.ts";
import { tallies } from "./read-queue.ts";
import { addOwners, type RecordOwners, readOwners } from "./record-owners.ts";
import type { Change, Program, ProgramKind } from "./store.ts";
import { Transaction, type TransactionContext } from "./transaction.ts";

/**
 * Applies the effects of jobs and attempts that ended in this transaction, again and again until no further effect
 * follows. Returns whether there was any effect.
 */
export function* effects(tx: Transaction): Program<boolean> {
  for (let any = false; ; any = true) {
    const { ends, attempts } = tx.takeEnded();
    const jobs = ends.map(({ job }) => job);
    if (ends.length > 0) for (const plugin of tx.plugins.for("ended", "marks", jobs)) yield* plugin.ended(tx, ends);
    if (attempts.length > 0)
      for (const plugin of tx.plugins.with("attemptsEnded")) yield* plugin.attemptsEnded(tx, attempts);
    let more = ends.length > 0;
    for (const plugin of tx.plugins.with("effects")) more = (yield* plugin.effects(tx)) || more;
    if (!more) return any;
  }
}

export interface TransactionResult<T> {
  readonly result: T;
  readonly changes: readonly Change[];
  /** Whether a job with a time from before the clock was set back was found: see `Transaction.setBack`. */
  readonly setBack: boolean;
  readonly owners: RecordOwners | undefined;
  /** See `TransactionContext.searchAt`. */
  readonly searchAt: number;
}

/**
 * Runs `body` as the program of one transaction, then applies the effects of ended jobs and writes all records. Returns
 * the result of `body`, and the changes to announce.
 */
export function* runTransaction<T>(
  surroundings: TransactionContext,
  body: (tx: Transaction) => Program<T>,
  kind: ProgramKind,
): Program<TransactionResult<T>> {
  const tx = new Transaction(surroundings);
  const { toCount } = surroundings;
  let { owners } = surroundings;
  if (owners === "unread") owners = yield* readOwners(tx.plugins);
  if (kind !== "read" && tx.searchAt <= tx.now) yield* sweepLapsed(tx);
  const result = yield* body(tx);
  yield* effects(tx);
  if (tx.changes.length > 0) {
    for (const queue of toCount) yield* tallies(tx, queue);
    // If this program fails, the next call of `counts` computes them again.
    toCount.clear();
  } else for (const queue of tx.newlyCounted) toCount.add(queue);
  yield* tx.flush();
  if (owners) owners = yield* addOwners(owners, tx.used);
  return { result, changes: tx.changes, setBack: tx.setBack, owners, searchAt: tx.searchAt };
}
