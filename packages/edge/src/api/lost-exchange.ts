import { QuaysideError } from "@quayside/core";
import type { ExchangeReply } from "@quayside/core/engine";

/**
 * The reply, unless all that was asked came too late: every token that the request settles or renews is lost, and it
 * claims nothing and does not take its leave. Then nothing was changed, and over HTTP that is a 409 and no success. An
 * exchange of which any part took effect stays a success, and `lost` names the tokens that did not.
 *
 * @throws {QuaysideError} `lease_lost`; `details` are the reply, for a client to go on with.
 */
export function unlessLost(reply: ExchangeReply): ExchangeReply {
  if (!reply.futile) return reply;
  throw new QuaysideError("lease_lost", "None of these tokens is held any more: another worker may have the jobs.", {
    ...reply,
  });
}
