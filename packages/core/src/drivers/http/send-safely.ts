import type { Clock } from "../../engine/clock.ts";
import { QuaysideError } from "../../job/errors.ts";
import type { SentToken } from "./http-caller.ts";

/** Between a lost answer and the next try. */
const REPEAT_MS = 250;
/** Between two questions after a request that is still in progress, at least. */
const IN_PROGRESS_MS = 1_000;
/** Longest that a caller is kept waiting for the next question. */
const LONGEST_WAIT_MS = 60_000;
/** So often is asked after it. */
const QUESTIONS = 5;

/** Codes of refusals for the credentials alone: they say nothing of what an earlier send has done. */
const CREDENTIALS: ReadonlySet<string> = new Set(["unauthorized", "forbidden", "subject_required"]);

/**
 * Sends a request under an `Idempotency-Key`, and once more when no answer came, so that its outcome is not known. The
 * server may still be at work on the first one (`in_progress`): then it is asked again after a while, a few times. A key
 * is its caller's own (R37), so each send has the same token.
 *
 * @throws the error of the lost send, where the token is not taken any more: the request may have been done.
 */
export async function sendSafely<T>(clock: Clock, send: (sent: SentToken) => Promise<T>): Promise<T> {
  const sent: SentToken = {};
  let lost: unknown;
  for (let questions = 0; ; ) {
    try {
      return await send(sent);
    } catch (error) {
      const waitMs = waitOf(error, lost !== undefined, questions);
      if (waitMs === undefined) throw lost !== undefined && isOfCredentials(error) ? lost : error;
      if (isInProgress(error)) questions++;
      else lost = error;
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

const isOfCredentials = (error: unknown): boolean => error instanceof QuaysideError && CREDENTIALS.has(error.code);

const isInProgress = (error: unknown): boolean => error instanceof QuaysideError && error.code === "in_progress";
