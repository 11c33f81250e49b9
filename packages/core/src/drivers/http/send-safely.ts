import type { Clock } from "../../engine/clock.ts";
import { QuaysideError } from "../../job/errors.ts";
import type { SentToken } from "./http-caller.ts";

/** Pause after a request without a response, before the request is repeated, in ms. */
const REPEAT_MS = 250;
/** Shortest pause before a request is repeated that the server still works on (`in_progress`), in ms. */
const IN_PROGRESS_MS = 1_000;
/** Longest pause before a request in progress is repeated, in ms. */
const LONGEST_WAIT_MS = 60_000;
/** Maximum number of repeats of a request that the server still works on. */
const QUESTIONS = 5;

/** Error codes that concern only the credentials of a repeat. The first send of the request may have succeeded. */
const CREDENTIALS: ReadonlySet<string> = new Set(["unauthorized", "forbidden", "subject_required"]);

/**
 * Sends a request with an `Idempotency-Key`, and once more if there was no response. If the server still works on the
 * first send (`in_progress`), repeats the request a few times. Each send has the same token, because an idempotency key
 * belongs to its caller (R37).
 *
 * @throws the error of the send without a response, if the token is no longer accepted: the request may have been done.
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

/** Returns the ms until the request may be repeated, or undefined if it must not be. */
function waitOf(error: unknown, lost: boolean, questions: number): number | undefined {
  if (!(error instanceof QuaysideError)) return undefined;
  const { code, details } = error;
  if (isInProgress(error)) {
    const asked = Number(details["retryAfterMs"] ?? 0);
    if (questions >= QUESTIONS || asked > LONGEST_WAIT_MS) return undefined;
    return Math.max(IN_PROGRESS_MS, asked);
  }
  // A status shows that a server responded; repeating would not help an overloaded gateway. Without a token, no request
  // was sent.
  const unheard = details["status"] === undefined && details["reason"] !== "token";
  return code === "network" && unheard && !lost ? REPEAT_MS : undefined;
}

const isOfCredentials = (error: unknown): boolean => error instanceof QuaysideError && CREDENTIALS.has(error.code);

const isInProgress = (error: unknown): boolean => error instanceof QuaysideError && error.code === "in_progress";
