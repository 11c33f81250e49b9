import { type Clock, QuaysideError } from "@quayside/core";

/** Between a lost answer and the next try. */
const REPEAT_MS = 250;
/** Between two questions after a request that is still in progress, at least. */
const IN_PROGRESS_MS = 1_000;
/** Longest that a caller is kept waiting for the next question. */
const LONGEST_WAIT_MS = 60_000;
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
    const asked = Number(details["retryAfterMs"] ?? 0);
    if (questions >= QUESTIONS || asked > LONGEST_WAIT_MS) return undefined;
    return Math.max(IN_PROGRESS_MS, asked);
  }
  // With a status something has answered: an overloaded gateway is not helped by more. Without a token nothing was sent.
  const unheard = details["status"] === undefined && details["reason"] !== "token";
  return code === "network" && unheard && !lost ? REPEAT_MS : undefined;
}

const isInProgress = (error: unknown): boolean => error instanceof QuaysideError && error.code === "in_progress";
