import type { JobMap, JobToAdd, Queue } from "@quayside/core";
import { type OnceOptions, once } from "./once.ts";

/**
 * Adds jobs for a cron trigger of the Worker, in one transaction; ids in their order. Cloudflare may fire a trigger more
 * than once: the ids are made of its rule and its instant, so that each instant adds them once. For rules that change
 * while the app runs, and for missed instants, there is `queue.schedule`.
 *
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
  const at = new Date(scheduledTime).toISOString();
  const listed = Array.isArray(jobs) ? (jobs as readonly JobToAdd<Jobs>[]) : [jobs as JobToAdd<Jobs>];
  const seen = new Map<string, number>();
  const marked = listed.map((job) => {
    const earlier = seen.get(job.name) ?? 0;
    seen.set(job.name, earlier + 1);
    const key = `cron ${cron} ${at} ${job.name}`;
    return once(job, earlier === 0 ? key : `${key} ${earlier + 1}`, options);
  });
  return queue.addJobs(marked);
}
