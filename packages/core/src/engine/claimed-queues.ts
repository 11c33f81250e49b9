import { invalidOption, refused } from "../job/errors.ts";
import { checkName } from "../job/job-keys.ts";
import type { ExchangeRequest } from "./verbs.ts";

/**
 * Returns the names of the queues in an exchange's claim. @throws {QuaysideError} `invalid_option` for an invalid
 * claim.
 */
export function claimedQueues({ claim }: Pick<ExchangeRequest, "claim">): readonly string[] {
  if (typeof claim !== "object" || claim === null) throw refused("claim", "must be an object", claim);
  const queues: unknown = claim.queues;
  if (!Array.isArray(queues)) throw refused("claim.queues", "must be a list", queues);
  const names = queues.map((one) => checkName(one?.queue, "claim.queues"));
  if (new Set(names).size < names.length) throw invalidOption("claim.queues", "claim.queues names a queue twice.");
  return names;
}
