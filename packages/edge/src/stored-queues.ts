import type { Key, Program, StoredJob } from "@quayside/core";

/** The queues that have jobs in line, or waiting beside it for a worker that knows their name: one seek a lane. */
export function* storedQueues(): Program<ReadonlySet<string>> {
  const queues = new Set<string>();
  for (const place of ["ready", "blocked"] as const) {
    for (let from: Key = [place]; ; ) {
      const answer = yield { op: "scan", collection: "jobs", from, to: [`${place}\u0001`], limit: 1 };
      const [job] = answer as readonly StoredJob[];
      if (!job) break;
      queues.add(job.queue);
      from = [place, `${job.key[1]}\u0001`];
    }
  }
  return queues;
}
