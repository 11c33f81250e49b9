import type { Change, Program } from "./store.ts";
import { type Surroundings, Turn } from "./transaction.ts";

/**
 * Does what follows from jobs that ended and attempts that are over in this transaction. One thing may lead to another,
 * so until nothing is left. Returns whether there was any.
 */
export function* effects(turn: Turn): Program<boolean> {
  for (let any = false; ; any = true) {
    const { ends, attempts } = turn.takeEnded();
    if (ends.length > 0) for (const plugin of turn.plugins.with("ended")) yield* plugin.ended(turn, ends);
    if (attempts.length > 0)
      for (const plugin of turn.plugins.with("attemptsEnded")) yield* plugin.attemptsEnded(turn, attempts);
    let more = ends.length > 0;
    for (const plugin of turn.plugins.with("effects")) more = (yield* plugin.effects(turn)) || more;
    if (!more) return any;
  }
}

export interface TurnResult<T> {
  readonly result: T;
  readonly changes: readonly Change[];
  /** See `Turn`, also of `setBack`. */
  readonly newlyCounted: ReadonlySet<string>;
  readonly setBack: boolean;
}

/** Runs `body` as a program of one turn, with all that follows from it; answers what it changed besides its result. */
export function* runTurn<T>(surroundings: Surroundings, body: (turn: Turn) => Program<T>): Program<TurnResult<T>> {
  const turn = new Turn(surroundings);
  const result = yield* body(turn);
  yield* effects(turn);
  yield* turn.flush();
  return { result, changes: turn.changes, newlyCounted: turn.newlyCounted, setBack: turn.setBack };
}
