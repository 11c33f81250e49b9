import { returned } from "../job/transitions.ts";
import { locate } from "./door.ts";
import { disband, settleMembers } from "./families.ts";
import { returnToRoom } from "./groups.ts";
import { moveEach } from "./moves.ts";
import { placeNext } from "./recurrences.ts";
import type { Change, Program } from "./store.ts";
import { type Surroundings, Turn } from "./turn.ts";

/**
 * What follows from jobs that ended or were let go in this turn: parents whose children are done, successors of dedupe
 * keys, next occurrences, room in groups. One thing may lead to another, so until nothing is left. True when there was any.
 */
export function* aftermath(turn: Turn): Program<boolean> {
  let any = false;
  for (let left = yield* turn.takeAftermath(); left; left = yield* turn.takeAftermath()) {
    yield* settleMembers(turn, left.ends);
    yield* disband(turn, left.ends);
    yield* placeNext(
      turn,
      left.ends.map(({ job }) => job),
      true,
    );
    for (const { queue, id } of left.successors) {
      const [job] = yield* locate(queue, [id]);
      if (job?.key[0] === "blocked") yield* moveEach(turn, [job], returned);
    }
    yield* returnToRoom(turn, left.rooms);
    any = true;
  }
  return any;
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
  yield* aftermath(turn);
  yield* turn.flush();
  return { result, changes: turn.changes, newlyCounted: turn.newlyCounted, setBack: turn.setBack };
}
