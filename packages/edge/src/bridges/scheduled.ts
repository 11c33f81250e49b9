import { type JobMap, type JobRecord, type JobToAdd, QuaysideError, type Queue } from "@quayside/core";
import { canonicalText, isEncrypted, SEALED, toJsonText } from "@quayside/core/engine";
import { sha256 } from "../sha256.ts";
import { type OnceOptions, once } from "./bridge-idempotency.ts";
import { markedId, TRIGGER } from "./trigger-key.ts";

/**
 * Adds jobs for a cron trigger of the Worker, in one transaction; ids in their order. Cloudflare may fire a trigger more
 * than once: its rule, its instant and the job's name are the job's dedupe key, so that each instant adds them once. So
 * make payloads of `scheduledTime` and not of the clock, and pass all jobs of one name in one call. For rules that change
 * while the app runs, and for missed instants, there is `queue.schedule`.
 *
 * @throws {QuaysideError} `conflict` where this trigger has added another payload under the same name, also when that job
 * has ended: such a job is not added, the others are. As `addJobs` for the rest, and then none is.
 * @example
 * async scheduled(controller, env) {
 *   await fromScheduled(controller, edgeQueue<typeof jobs>(env.MAIL_QUEUE, "mail", { jobs }), {
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
  // A job that names its own id, or was dropped for a dedupe key of its own, is the caller's matter.
  const checks = planned.map(({ job, key }, index) =>
    job.id === undefined ? checkAdded(queue, job, { key, id: marked[index]?.id, answer: ids[index] }) : undefined,
  );
  await Promise.all(checks);
  return ids;
}

const refused = (option: string, rule: string) => new QuaysideError("invalid_option", `${option} ${rule}.`, { option });

/**
 * Ends the id of a job with a mark of its payload. The dedupe key of its trigger has no mark, so a repeated add is answered
 * with the id of the first job, whose mark tells whether the payload was the same, also when that job is gone. A digest of
 * an encrypted payload would disclose it: its mark is random, so a repeat after the job is gone is refused as another one.
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
    // It cannot be added: `addJobs` refuses it, and says which one it is.
    return job;
  }
}

interface Added {
  /** The job's id without its mark. */
  readonly key: string;
  /** The id that it was to have. */
  readonly id: string | undefined;
  /** The id of the job that was answered. */
  readonly answer: string | undefined;
}

/** @throws {QuaysideError} `conflict` when another job was added in place of this one. */
async function checkAdded<Jobs extends JobMap>(
  queue: Queue<Jobs>,
  job: JobToAdd<Jobs>,
  { key, id, answer = "" }: Added,
): Promise<void> {
  // With its mark, it is this job; without, it was dropped for a dedupe key of its own.
  if ((answer === id) !== (id === key)) return;
  const stored = await queue.get(answer);
  if (stored ? isSame(stored, job) : answer === key) return;
  const payload = stored ? "with another payload" : "which has ended; this one differs from it, or is encrypted";
  throw new QuaysideError(
    "conflict",
    `This trigger has added another job ${JSON.stringify(job.name)} already, ${payload}, so this one was not added. Pass all jobs of one name in one call, or give each an id.`,
    { id: answer, job: job.name },
  );
}

/** A payload that is still encrypted cannot be compared: there is no key for it here. */
const isSame = (stored: Pick<JobRecord, "name" | "payload">, { name, payload }: { name: string; payload: unknown }) =>
  stored.name === name && (isEnvelope(stored.payload) || textOf(stored.payload) === textOf(payload));

const textOf = (payload: unknown): string => canonicalText(toJsonText(payload, "payload"));

const isEnvelope = (payload: unknown): boolean =>
  typeof payload === "object" && payload !== null && Object.hasOwn(payload, SEALED);
