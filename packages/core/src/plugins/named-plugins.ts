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

/** The commands of an operator: retry, promote, update, retry all, clear. */
export const admin = (): Plugin => adminPlugin;
/** The job option `dedupe`. */
export const dedupe = (): Plugin => dedupePlugin;
/** The job option `expiresIn`. */
export const expiry = (): Plugin => expiryPlugin;
/** Flows: parents that wait for their children. */
export const flows = (): Plugin => flowsPlugin;
/** The job option `group`. */
export const groups = (): Plugin => groupsPlugin;
/** Recognises repeated numbered requests. An outbox needs it. */
export const idempotency = (): Plugin => idempotencyPlugin;
/** Lists of a queue's jobs. */
export const inspect = (): Plugin => inspectPlugin;
/** The setting `maxActive` of a queue. */
export const maxActive = (): Plugin => maxActivePlugin;
/** The setting `rateLimit` of a queue. */
export const rateLimit = (): Plugin => rateLimitPlugin;
/** Blocks jobs whose names have no handler in a worker until a worker has one. Without this plugin, such jobs fail. */
export const unknownNames = (): Plugin => unknownNamesPlugin;
