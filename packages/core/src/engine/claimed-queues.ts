import { checkName } from "../job/job-keys.ts";
import { fields, list } from "../job/option-checks.ts";
import type { ExchangeRequest } from "./verbs.ts";

/**
 * Returns the names of the queues in an exchange's claim. @throws {QuaysideError} `invalid_option` for an invalid
 * claim.
 */
export const claimedQueues = ({ claim }: Pick<ExchangeRequest, "claim">): readonly string[] =>
  list(fields(claim, "claim").queues, "claim.queues").map((one) =>
    checkName(fields(one, "claim.queues").queue, "claim.queues"),
  );
