import type { Schedule } from "../engine/verbs.ts";
import { refused } from "../job/errors.ts";
import { checkName } from "../job/job-keys.ts";
import type { JobOptions } from "../job/job-options.ts";
import type { JobMap, JobName, PayloadOf, UntypedJobs, WithPayload } from "../job/job-types.ts";
import { canonicalText, type Json, toJsonText } from "../job/json.ts";
import { type RecurrenceOption, resolveRecurrence } from "../job/next-occurrence.ts";
import { fields } from "../job/option-checks.ts";
import { prepare } from "./job-submitter.ts";
import { command, type KernelQueue, type SomeQueue } from "./kernel-queue.ts";
import { partsOf } from "./queue-context.ts";
import { openPayload } from "./sealed-jobs.ts";

/** Job options that a recurrence sets itself. */
const SET_BY_RECURRENCE: ReadonlySet<string> = new Set(["id", "delay", "availableAt", "dedupe"]);

/** Options of the jobs of a recurrence. */
export type RecurringOptions = Omit<JobOptions, "id" | "delay" | "availableAt" | "dedupe">;

/** A recurrence in one object: when it occurs, the name and payload of its jobs, and their options. */
export type RecurringJob<Jobs extends JobMap, Name extends JobName<Jobs> = JobName<Jobs>> = RecurrenceOption &
  RecurringOptions & { readonly name: Name } & WithPayload<PayloadOf<Jobs, Name>>;

/**
 * Creates or changes a recurrence: adds a job at regular times, one pending at a time; missed times run once. An app
 * may repeat the call at every start: an unchanged recurrence keeps its phase, count and pending job; a new payload or
 * option changes the pending job in place; a new interval or expression moves the pending job to a new time.
 *
 * @example
 * await schedule(queue, "nightly", { cron: "0 3 * * *", timeZone: "Europe/Vienna", name: "report", payload: { kind: "daily" } });
 * await schedule(queue, "sync", { every: "5m", limit: 100, name: "sync", maxAttempts: 1 });
 */
export async function schedule<Jobs extends JobMap, Name extends keyof Jobs & string>(
  queue: Pick<KernelQueue<Jobs>, "name" | "driver" | "addJob">,
  key: string,
  recurrence: RecurringJob<Jobs, Name>,
): Promise<void> {
  checkName(key, "schedule key");
  const { name, payload, when, options } = recurrenceParts(recurrence as object);
  const rule = resolveRecurrence(when);
  for (const option in options)
    if (SET_BY_RECURRENCE.has(option))
      throw refused(option, "is set by the recurrence", options[option as keyof object]);
  const { context } = partsOf(queue);
  context.registry.check(name);
  const job = await prepare(context, { queue: queue.name, name, payload, options });
  const before = job.sealed && (await sameSealed(queue, key, job.name, payload));
  await command(queue, { type: "schedule", key, rule, job: before ? { ...job, ...before } : job });
}

/** Separates a recurrence in one object into when it occurs, and the name, payload and options of its jobs. */
export function recurrenceParts(recurrence: object) {
  const { name, payload, every, cron, timeZone, limit, startAt, endAt, immediately, overlap, ...options } = fields(
    recurrence,
    "recurrence",
  ) as RecurringJob<UntypedJobs> & { readonly timeZone?: string | undefined };
  const when = { every, cron, timeZone, limit, startAt, endAt, immediately, overlap } as RecurrenceOption;
  return { name, payload, when, options };
}

/** Ends a recurrence and removes its pending job. Returns false if there is none under this key. */
export async function unschedule(queue: SomeQueue, key: string): Promise<boolean> {
  return (await command(queue, { type: "unschedule", key })).affected > 0;
}

/** Returns the recurrences of the queue. Their payloads are decrypted if there is a key. */
export async function schedules(queue: SomeQueue): Promise<readonly Schedule[]> {
  const all = await queue.driver.schedules(queue.name);
  return Promise.all(all.map(async (one) => ({ ...one, payload: await payloadOf(queue, one) })));
}

/**
 * Returns the stored envelope of a recurrence's payload if it decrypts to this payload. If the payload were encrypted
 * again, the recurrence would look changed.
 */
async function sameSealed(
  queue: SomeQueue,
  key: string,
  name: string,
  payload: unknown,
): Promise<{ payload: string } | undefined> {
  const all = await queue.driver.schedules(queue.name);
  const before = all.find((one) => one.key === key && one.name === name);
  // A payload that was stored unencrypted is now encrypted.
  if (!before?.sealed) return undefined;
  const open = await payloadOf(queue, before);
  const same = canonicalText(toJsonText(open, "payload")) === canonicalText(toJsonText(payload, "payload"));
  return same ? { payload: JSON.stringify(before.payload) } : undefined;
}

function payloadOf(queue: SomeQueue, one: Schedule): Promise<Json> {
  return openPayload(partsOf(queue).context.encryption, { ...one, id: "" }).catch(() => one.payload) as Promise<Json>;
}
