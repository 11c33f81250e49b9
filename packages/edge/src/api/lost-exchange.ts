import { QuaysideError } from "@quayside/core";
import type { ExchangeReply } from "@quayside/core/engine";

/**
 * Returns the reply of an exchange, or throws if the exchange changed nothing: all its tokens are lost, and it neither
 * claimed jobs nor ended the worker's lease. An exchange of which any part took effect succeeds; its reply lists the
 * lost tokens in `lost`.
 *
 * @throws {QuaysideError} `lease_lost` (HTTP 409); `details` is the reply.
 */
export function unlessLost(reply: ExchangeReply): ExchangeReply {
  if (!reply.futile) return reply;
  throw new QuaysideError("lease_lost", "None of these tokens is held any more: another worker may have the jobs.", {
    ...reply,
  });
}
