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
import { maxWaiting as maxWaitingPlugin } from "./max-waiting.ts";
import { rateLimit as rateLimitPlugin } from "./rate-limit.ts";
import { unknownNames as unknownNamesPlugin } from "./unknown-names.ts";

/**
 * Returns the plugin of the operator's commands: retry, promote, update, retry all, clear. Without it, a driver refuses
 * these commands with `invalid_option`.
 */
export const admin = (): Plugin => adminPlugin;
/**
 * Returns the plugin that enforces the job option `dedupe`: adds no second job with a taken key. Without it, a driver
 * refuses jobs with the option.
 */
export const dedupe = (): Plugin => dedupePlugin;
/**
 * Returns the plugin that enforces the job option `expiresIn`: fails jobs that did not start in time. Without it, a
 * driver refuses jobs with the option.
 */
export const expiry = (): Plugin => expiryPlugin;
/**
 * Returns the plugin of flows: a parent job waits for its children. Without it, a driver refuses jobs with children.
 */
export const flows = (): Plugin => flowsPlugin;
/**
 * Returns the plugin that enforces the job option `group`: limits how many jobs of one group run at once. Without it, a
 * driver refuses jobs with the option.
 */
export const groups = (): Plugin => groupsPlugin;
/**
 * Returns the plugin that adds the jobs of a numbered request only once, although the request is repeated. An outbox
 * needs it at the remote: a driver without it refuses numbered requests.
 */
export const idempotency = (): Plugin => idempotencyPlugin;
/** Returns the plugin that lists a queue's jobs (`list`). Without it, a driver refuses `list`. */
export const inspect = (): Plugin => inspectPlugin;
/**
 * Returns the plugin that enforces the queue setting `maxActive`: limits how many jobs of a queue run at once. Without
 * it, a driver refuses the setting.
 */
export const maxActive = (): Plugin => maxActivePlugin;
/**
 * Returns the plugin that enforces the queue setting `maxWaiting`: refuses an add after which more jobs would wait.
 * Without it, a driver refuses the setting.
 */
export const maxWaiting = (): Plugin => maxWaitingPlugin;
/**
 * Returns the plugin that enforces the queue setting `rateLimit`: limits how many jobs of a queue start within a time.
 * Without it, a driver refuses the setting.
 */
export const rateLimit = (): Plugin => rateLimitPlugin;
/**
 * Returns the plugin that blocks jobs whose names have no handler in the worker, until a worker has one. Without it,
 * such jobs fail.
 */
export const unknownNames = (): Plugin => unknownNamesPlugin;
