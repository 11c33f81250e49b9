import { indexedDbDriver, liveCounts, requestBackgroundSync, workerEvents } from "@quayside/browser";
import { Queue } from "@quayside/core";
import { APP, type Jobs } from "./jobs.ts";

const queue = new Queue<Jobs>("uploads", indexedDbDriver({ name: APP }));
const counts = liveCounts(queue);
const told: string[] = [];

const remote = workerEvents(APP);
remote.on("progress", ({ job, progress }) => told.push(`progress ${job.id} ${progress}`));
remote.on("completed", ({ job, result }) => told.push(`completed ${job.id} ${JSON.stringify(result)}`));
remote.on("retrying", ({ job, error }) => told.push(`retrying ${job.id} ${error}`));

/** What a test does on the page. */
export const page = {
  queue,
  told,
  requestBackgroundSync,
  /** Installs the service worker and waits until it is active, and has found nothing to do at its start. */
  async install(): Promise<void> {
    const idle = new Promise<void>((resolve) => remote.on("idle", () => resolve()));
    await navigator.serviceWorker.register("./service-worker.ts", { type: "module" });
    await navigator.serviceWorker.ready;
    await idle;
  },
  /** What the counts say on the page, as `waiting/completed`. */
  shown: () => document.body.textContent,
};

counts.subscribe(({ value }) => {
  document.body.textContent = value ? `${value.waiting}/${value.completed}` : "…";
});

Object.assign(window, { page });
