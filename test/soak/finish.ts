import type { Clock } from "@quayside/core";
import { endRecurrence, pause, remaining, type Stage, unfinished, untilDone } from "./actors.ts";
import type { Ledger, Left, Verdict } from "./ledger.ts";

/** Questions put to a queue at the end of a soak. */
export interface Calm {
  readonly clock: Clock;
  unfinished(): Promise<number>;
  endRecurrence(): Promise<void>;
  remaining(): Promise<readonly Left[]>;
}

export const calmOf = (stage: Stage): Calm => ({
  clock: stage.clock,
  unfinished: () => unfinished(stage),
  endRecurrence: () => endRecurrence(stage),
  remaining: () => remaining(stage),
});

/** The queue is stuck when it makes no progress for so long, in ms of real time. */
const STUCK_MS = 60_000;

/** Waits, in real time, until the queue is empty or stuck; answers the verdict on it. */
export async function finish(calm: Calm, ledger: Ledger): Promise<Verdict> {
  await untilDone(calm.clock, () => calm.endRecurrence());
  let progress = -1;
  let left = -1;
  let since = calm.clock.monotonic();
  while (calm.clock.monotonic() - since < STUCK_MS) {
    const now = await untilDone(calm.clock, () => calm.unfinished());
    if (now === 0) break;
    if (now !== left || ledger.progress !== progress) since = calm.clock.monotonic();
    left = now;
    progress = ledger.progress;
    await pause(calm.clock, 200);
  }
  return ledger.verdict(await untilDone(calm.clock, () => calm.remaining()));
}
