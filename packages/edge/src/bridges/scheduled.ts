import { type JobMap, type JobRecord, type JobToAdd, QuaysideError, type Queue } from "@quayside/core";
import { canonicalText, isEncrypted, SEALED, toJsonText } from "@quayside/core/engine";
import { sha256 } from "../sha256.ts";
import { type OnceOptions, once } from "./bridge-idempotency.ts";
import { markedId, TRIGGER } from "./trigger-key.ts";

/**
 * Adds jobs for a cron trigger of the Worker, in one transaction, and returns their ids in order. Cloudflare may fire a
 * trigger more than once: the dedupe key of each job is the trigger's cron rule, its scheduled time and the job's name,
 * so repeats add nothing. Therefore compute payloads from `scheduledTime`, not from the clock, and pass all jobs of one
 * name in one call. For rules that change at run time, and for missed runs, use `queue.schedule`.
 *
 * @throws {QuaysideError} `conflict` if this trigger has added a job of the same name with another payload, even if
 * that job has ended: the new job is not added, the others are. Other errors as `addJobs`; then no job is added.
 * @example
 * async scheduled(controller, env) {
 *   await fromScheduled(controller, edgeQueue(env.MAIL_QUEUE, "mail", { jobs }), {
 *     name: "digest", payload: { day: new Date(controller.scheduledTime).toISOString().slice(0, 10) },
 *   });
 * }
 */
export async function fromScheduled<Jobs extends JobMap>(
  { cron, scheduledTime }: Pick<ScheduledController, "cron" | "scheduledTime">,
  queue: Queue<Jobs>,
  jobs: JobToAdd<Jobs> | readonly JobToAdd<Jobs>[],
  options: OnceOptions = {},
): Promise<readonly string[]> {
  const instant = new Date(scheduledTime);
  if (Number.isNaN(instant.getTime()))
    throw refused("scheduledTime", `must be an instant, got ${String(scheduledTime)}`);
  const trigger = `${TRIGGER}${cron} ${instant.toISOString()}`;
  const listed = Array.isArray(jobs) ? (jobs as readonly JobToAdd<Jobs>[]) : [jobs as JobToAdd<Jobs>];
  if (listed.some((job) => typeof job !== "object" || job === null))
    throw refused("jobs", "must be a job, or a list of jobs");
  const seen = new Map<string, number>();
  const planned = listed.map((job) => {
    if (job.id !== undefined) return { job, key: `${trigger} ${job.name} id ${job.id}` };
    const nth = (seen.get(job.name) ?? 0) + 1;
    seen.set(job.name, nth);
    return { job, key: `${trigger} ${job.name}${nth === 1 ? "" : ` ${nth}`}` };
  });
  const marked = await Promise.all(planned.map(({ job, key }) => withMark(queue, once(job, key, options), key)));
  const ids = await queue.addJobs(marked);
  // Jobs with an id of their own, or dropped for a dedupe key of their own, are not checked.
  const checks = planned.map(({ job, key }, index) =>
    job.id === undefined ? checkAdded(queue, job, { key, id: marked[index]?.id, answer: ids[index] }) : undefined,
  );
  await Promise.all(checks);
  return ids;
}

const refused = (option: string, rule: string) => new QuaysideError("invalid_option", `${option} ${rule}.`, { option });

/**
 * Appends a hash of the payload to the job's id. A repeated add returns the id of the first job, whose hash shows
 * whether the payload was the same, even if that job is no longer stored. For an encrypted payload a hash would
 * disclose information, so the suffix is random, and a repeat after the job is deleted is refused as a different job.
 */
async function withMark<Jobs extends JobMap>(
  queue: Queue<Jobs>,
  job: JobToAdd<Jobs>,
  key: string,
): Promise<JobToAdd<Jobs>> {
  if (job.id !== key || job.dedupe?.key !== key) return job;
  try {
    const mark = (await isEncrypted(queue, job)) ? crypto.randomUUID() : await sha256(textOf(job.payload));
    return { ...job, id: markedId(key, mark) };
  } catch {
    // The payload is not JSON; `addJobs` refuses the job and names it.
    return job;
  }
}

interface Added {
  /** The job's id without the suffix. */
  readonly key: string;
  /** The id that the job should get. */
  readonly id: string | undefined;
  /** The id that `addJobs` returned. */
  readonly answer: string | undefined;
}

/**
 * Checks that a job was not replaced by a job with another payload.
 *
 * @throws {QuaysideError} `conflict` if it was.
 */
async function checkAdded<Jobs extends JobMap>(
  queue: Queue<Jobs>,
  job: JobToAdd<Jobs>,
  { key, id, answer = "" }: Added,
): Promise<void> {
  // Equal ids with a suffix: this job was added. An id without a suffix: the job has a dedupe key of its own.
  if ((answer === id) !== (id === key)) return;
  const stored = await queue.get(answer);
  if (stored ? isSame(stored, job as { name: string }) : answer === key) return;
  const payload = stored ? "with another payload" : "which has ended; this one differs from it, or is encrypted";
  throw new QuaysideError(
    "conflict",
    `This trigger has added another job ${JSON.stringify(job.name)} already, ${payload}, so this one was not added. Pass all jobs of one name in one call, or give each an id.`,
    { id: answer, job: job.name },
  );
}

/**
 * Returns whether a stored job has the same name and payload. Encrypted payloads count as equal, because this code has
 * no key.
 */
const isSame = (stored: Pick<JobRecord, "name" | "payload">, { name, payload }: { name: string; payload?: unknown }) =>
  stored.name === name && (isEnvelope(stored.payload) || textOf(stored.payload) === textOf(payload));

const textOf = (payload: unknown): string => canonicalText(toJsonText(payload, "payload"));

const isEnvelope = (payload: unknown): boolean =>
  typeof payload === "object" && payload !== null && Object.hasOwn(payload, SEALED);
