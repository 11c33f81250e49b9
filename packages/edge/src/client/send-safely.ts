import { type Clock, QuaysideError } from "@quayside/core";

/** Between a lost answer and the next try. */
const REPEAT_MS = 250;
/** Between two questions after a request that is still in progress, where the server does not say. */
const IN_PROGRESS_MS = 1_000;
/** So often is asked after it. */
const QUESTIONS = 5;

/**
 * Sends a request under an `Idempotency-Key`, and once more when nobody knows what became of it: no answer came. The
 * server may still be at work on the first one (`in_progress`): then it is asked again after a while, a few times.
 */
export async function sendSafely<T>(clock: Clock, send: () => Promise<T>): Promise<T> {
  let lost = false;
  for (let questions = 0; ; ) {
    try {
      return await send();
    } catch (error) {
      const waitMs = waitOf(error, lost, questions);
      if (waitMs === undefined) throw error;
      if (isInProgress(error)) questions++;
      else lost = true;
      await new Promise<void>((resolve) => clock.after(waitMs, resolve));
    }
  }
}

/** Ms until the same may be sent again; undefined when it may not. */
function waitOf(error: unknown, lost: boolean, questions: number): number | undefined {
  if (!(error instanceof QuaysideError)) return undefined;
  const { code, details } = error;
  if (isInProgress(error)) {
    if (questions >= QUESTIONS) return undefined;
    return typeof details["retryAfterMs"] === "number" ? details["retryAfterMs"] : IN_PROGRESS_MS;
  }
  // With a status something has answered: an overloaded gateway is not helped by more.
  return code === "network" && details["status"] === undefined && !lost ? REPEAT_MS : undefined;
}

const isInProgress = (error: unknown): boolean => error instanceof QuaysideError && error.code === "in_progress";
