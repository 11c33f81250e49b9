// The plugins as functions, for drivers whose plugins an app names. Bundles contain only the imported ones.
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

/** Returns the plugin with the commands of an operator: retry, promote, update, retry all, clear. */
export const admin = (): Plugin => adminPlugin;
/** Returns the plugin of the job option `dedupe`. */
export const dedupe = (): Plugin => dedupePlugin;
/** Returns the plugin of the job option `expiresIn`. */
export const expiry = (): Plugin => expiryPlugin;
/** Returns the plugin of flows: parents that wait for their children. */
export const flows = (): Plugin => flowsPlugin;
/** Returns the plugin of the job option `group`. */
export const groups = (): Plugin => groupsPlugin;
/** Returns the plugin that recognises repeated numbered requests. An outbox needs it. */
export const idempotency = (): Plugin => idempotencyPlugin;
/** Returns the plugin that lists a queue's jobs. */
export const inspect = (): Plugin => inspectPlugin;
/** Returns the plugin of the queue setting `maxActive`. */
export const maxActive = (): Plugin => maxActivePlugin;
/** Returns the plugin of the queue setting `rateLimit`. */
export const rateLimit = (): Plugin => rateLimitPlugin;
/** Returns the plugin that blocks jobs without a handler until a worker has one. Without the plugin, such jobs fail. */
export const unknownNames = (): Plugin => unknownNamesPlugin;
