import { type JobMap, type JobToAdd, QuaysideError, type Queue } from "@quayside/core";
import { canonicalText, SEALED, toJsonText } from "@quayside/core/engine";
import { type OnceOptions, once } from "./once.ts";

/**
 * Adds jobs for a cron trigger of the Worker, in one transaction; ids in their order. Cloudflare may fire a trigger more
 * than once: the ids are made of its rule, its instant and the job's name, so that each instant adds them once. So make
 * payloads of `scheduledTime` and not of the clock, and pass all jobs of one name in one call. For rules that change
 * while the app runs, and for missed instants, there is `queue.schedule`.
 *
 * @throws {QuaysideError} `conflict` where this trigger has added another payload under the same name: such a job is not
 * added, the others are. As `addJobs` for the rest, and then none is.
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
  const at = instant.toISOString();
  const listed = Array.isArray(jobs) ? (jobs as readonly JobToAdd<Jobs>[]) : [jobs as JobToAdd<Jobs>];
  if (listed.some((job) => typeof job !== "object" || job === null))
    throw refused("jobs", "must be a job, or a list of jobs");
  const seen = new Map<string, number>();
  const marked = listed.map((job) => {
    if (job.id !== undefined) return once(job, `cron ${cron} ${at} ${job.name} ${job.id}`, options);
    const earlier = seen.get(job.name) ?? 0;
    seen.set(job.name, earlier + 1);
    const key = `cron ${cron} ${at} ${job.name}`;
    return once(job, earlier === 0 ? key : `${key} ${earlier + 1}`, options);
  });
  const ids = await queue.addJobs(marked);
  // A job that names its own id, or was dropped for a dedupe key of its own, is the caller's matter.
  const checks = listed.map((job, index) => {
    const id = marked[index]?.id as string;
    return job.id === undefined && ids[index] === id ? checkStored(queue, job, id) : undefined;
  });
  await Promise.all(checks);
  return ids;
}

const refused = (option: string, rule: string) => new QuaysideError("invalid_option", `${option} ${rule}.`, { option });

async function checkStored<Jobs extends JobMap>(queue: Queue<Jobs>, job: JobToAdd<Jobs>, id: string): Promise<void> {
  const stored = await queue.get(id);
  if (!stored || isEnvelope(stored.payload) || textOf(stored.payload) === textOf(job.payload)) return;
  throw new QuaysideError(
    "conflict",
    `This trigger has added another job ${JSON.stringify(job.name)} already, with another payload, so this one was not added. Pass all jobs of one name in one call, or give each an id.`,
    { id, job: job.name },
  );
}

const textOf = (payload: unknown): string => canonicalText(toJsonText(payload, "payload"));

/** Still encrypted, for there is no key here: it cannot be compared. */
const isEnvelope = (payload: unknown): boolean =>
  typeof payload === "object" && payload !== null && Object.hasOwn(payload, SEALED);
