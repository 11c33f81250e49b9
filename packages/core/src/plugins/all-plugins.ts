import type { Plugin } from "../engine/plugin.ts";
import type { NextCron } from "../job/next-occurrence.ts";
import { admin } from "./admin.ts";
import { batches } from "./batches.ts";
import { dedupe } from "./dedupe.ts";
import { expiry } from "./expiry.ts";
import { flows } from "./flows.ts";
import { groups } from "./groups.ts";
import { idempotency } from "./idempotency.ts";
import { inspect } from "./inspect.ts";
import { maxActive } from "./max-active.ts";
import { maxWaiting } from "./max-waiting.ts";
import { rateLimit } from "./rate-limit.ts";
import { recurrences } from "./recurrences.ts";
import { unknownNames } from "./unknown-names.ts";

/**
 * Returns all plugins, in the order in which their hooks run. `cron` evaluates cron rules; without it, recurrences by
 * cron are refused.
 */
export const everything = (cron?: NextCron): readonly Plugin[] => [
  idempotency,
  flows,
  dedupe,
  recurrences(cron),
  expiry,
  unknownNames,
  batches,
  rateLimit,
  maxActive,
  maxWaiting,
  groups,
  inspect,
  admin,
];
