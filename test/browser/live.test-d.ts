// Checked by tsc with the rest of this folder; never run.
import {
  broadcastEvents,
  handleBackgroundSync,
  type Live,
  liveCounts,
  liveJobs,
  workerEvents,
} from "@quayside/browser";
import { useCounts, useJobs } from "@quayside/browser/react";
import { defineJobs, type JobCounts, type JobOf, memoryDriver, Queue, QueueManager, QueueWorker } from "@quayside/core";
import { expectTypeOf } from "vitest";
import * as z from "zod";

interface Jobs {
  resize: { readonly width: number };
  email: { readonly to: string };
}

const queue = new Queue<Jobs>("images", memoryDriver());

// The name of a job tells the type of its payload.
const page = liveJobs(queue, { state: "active", tags: ["urgent"], limit: 10 }).getSnapshot().value;
for (const job of page?.jobs ?? []) {
  expectTypeOf(job.name).toEqualTypeOf<"resize" | "email">();
  if (job.name === "resize") expectTypeOf(job.payload.width).toEqualTypeOf<number>();
  else expectTypeOf(job.payload.to).toEqualTypeOf<string>();
}
expectTypeOf(liveCounts(queue)).toEqualTypeOf<Live<JobCounts>>();
export function Component(): null {
  expectTypeOf(useCounts(queue).value).toEqualTypeOf<JobCounts | undefined>();
  expectTypeOf(useJobs(queue).value?.jobs).toEqualTypeOf<readonly JobOf<Jobs>[] | undefined>();
  return null;
}

// What is known depends on the status.
liveCounts(queue).subscribe((state) => {
  if (state.status === "ready") expectTypeOf(state.value).toEqualTypeOf<JobCounts>();
  if (state.status === "loading") expectTypeOf(state.value).toEqualTypeOf<undefined>();
  if (state.status === "failed") expectTypeOf(state.value).toEqualTypeOf<JobCounts | undefined>();
});

// The input of a schema; queues with a ctx of their own and queues of a manager too.
const jobs = defineJobs({ report: { input: z.object({ lines: z.array(z.string()).default([]) }) } });
const defined = new Queue("reports", memoryDriver(), { jobs, ctx: { db: 1 } });
expectTypeOf<JobOf<typeof jobs>["payload"]>().toEqualTypeOf<{ lines?: string[] | undefined }>();
expectTypeOf(liveJobs(defined).getSnapshot().value?.jobs[0]?.name).toEqualTypeOf<"report" | undefined>();
liveCounts(new QueueManager({ driver: memoryDriver() }).queue("mail"));

// @ts-expect-error no such state
liveJobs(queue, { state: "done" });
// @ts-expect-error the queue is given already
liveJobs(queue, { queue: "images" });

// Whatever works jobs may do it in a service worker, and tell of it.
for (const worker of [
  queue,
  defined,
  new QueueManager({ driver: memoryDriver() }),
  new QueueWorker(new Queue("mail", memoryDriver())),
]) {
  handleBackgroundSync(worker, { tag: "jobs", patience: "1m" });
  broadcastEvents(worker, "my-app");
}
workerEvents("my-app").on("failed", ({ job, error }) => {
  expectTypeOf(job.id).toExtend<string>();
  expectTypeOf(error).toEqualTypeOf<unknown>();
});
// @ts-expect-error what goes wrong beside the jobs is for where the worker runs
workerEvents("my-app").on("error", () => {});
