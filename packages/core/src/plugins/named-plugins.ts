// The plugins as functions, for drivers whose plugins an app names: an app loads those that it calls.
import type { Plugin } from "../engine/plugin.ts";
import { admin as adminPlugin } from "./admin.ts";
import { dedupe as dedupePlugin } from "./dedupe.ts";
import { expiry as expiryPlugin } from "./expiry.ts";
import { flows as flowsPlugin } from "./flows.ts";
import { groups as groupsPlugin } from "./groups.ts";
import { idempotency as idempotencyPlugin } from "./idempotency.ts";
import { inspect as inspectPlugin } from "./inspect.ts";
import { maxActive as maxActivePlugin } from "./max-active.ts";
import { rateLimit as rateLimitPlugin } from "./rate-limit.ts";
import { unknownNames as unknownNamesPlugin } from "./unknown-names.ts";

/** The commands of an operator: retry, promote, update, retry all, clear. */
export const admin = (): Plugin => adminPlugin;
/** The job option `dedupe`. */
export const dedupe = (): Plugin => dedupePlugin;
/** The job option `expiresIn`. */
export const expiry = (): Plugin => expiryPlugin;
/** Parents that wait for their children. */
export const flows = (): Plugin => flowsPlugin;
/** The job option `group`. */
export const groups = (): Plugin => groupsPlugin;
/** Numbered requests that are answered as before when they are sent again: an outbox needs it. */
export const idempotency = (): Plugin => idempotencyPlugin;
/** Lists of jobs. */
export const inspect = (): Plugin => inspectPlugin;
/** The setting `maxActive` of a queue. */
export const maxActive = (): Plugin => maxActivePlugin;
/** The setting `rateLimit` of a queue. */
export const rateLimit = (): Plugin => rateLimitPlugin;
/** Jobs whose names no worker here has a handler for wait for one that has. Without it they fail. */
export const unknownNames = (): Plugin => unknownNamesPlugin;
