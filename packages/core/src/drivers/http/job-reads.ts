import type { Clock } from "../../engine/clock.ts";
import { isQuaysideError } from "../../job/errors.ts";
import type { JobRecord } from "../../job/job-record.ts";
import { page as IDS_LIMIT } from "../../job/limits.ts";
import type { FoundJobs } from "../remote/reply-pages.ts";
import type { ApiCall } from "./http-caller.ts";
import { idPart } from "./paths.ts";
import { isJob, isJobPage } from "./response-checks.ts";

/** Longest time that reads wait for the request before them, so that more reads join them. */
const JOIN_MS = 100;

/** Ids to read in one request, and the jobs that the request finds. */
interface Batch {
  readonly ids: Set<string>;
  readonly found: Promise<Found>;
}

/** A job that failed to be read rejects by itself. */
type Found = Map<string, JobRecord | Promise<JobRecord | undefined>>;

/**
 * Returns a function that reads one job. Reads of one queue that begin at once, or while another request for it is on its
 * way, are one request. So a thousand calls of `waitFor` make few.
 */
export function jobReads(clock: Clock, call: ApiCall) {
  /** By queue, the reads that are not sent yet, and the end of the last request. */
  const next = new Map<string, Batch>();
  const sent = new Map<string, Promise<void>>();

  async function read(queue: string, ids: readonly string[]): Promise<Found> {
    const found: Found = new Map();
    let left = ids;
    // If a reply leaves all of its ids unread, a shard has failed or would have to search for them. Each id is then read by a
    // request of its own.
    for (let before = Number.POSITIVE_INFINITY; left.length > 1 && left.length < before; ) {
      before = left.length;
      const page: FoundJobs = await call("POST", queue, "find", isJobPage, JSON.stringify({ ids: left }));
      for (const job of page.jobs) found.set(job.id, job);
      left = page.left ?? [];
    }
    for (const id of left) found.set(id, ifFound(call<JobRecord>("GET", queue, `jobs/${idPart(id)}`, isJob)));
    return found;
  }

  async function send(queue: string, ids: ReadonlySet<string>) {
    await new Promise<void>((resolve) => {
      const stop = clock.after(JOIN_MS, resolve);
      void (sent.get(queue) ?? Promise.resolve()).then(resolve).then(stop);
    });
    if (next.get(queue)?.ids === ids) next.delete(queue);
    const found = read(queue, [...ids]);
    const end = () => {};
    sent.set(queue, found.then((all) => Promise.all(all.values())).then(end, end));
    return found;
  }

  return async (queue: string, id: string): Promise<JobRecord | undefined> => {
    let batch = next.get(queue);
    if (!batch || batch.ids.size >= IDS_LIMIT) {
      const ids = new Set<string>();
      batch = { ids, found: send(queue, ids) };
      next.set(queue, batch);
    }
    batch.ids.add(id);
    return (await batch.found).get(id);
  };
}

/** Resolves with the answer of a request about one job; with undefined if there is no such job. */
export const ifFound = <T>(answer: Promise<T>): Promise<T | undefined> =>
  answer.catch((error: unknown) => {
    if (isQuaysideError(error, "job_not_found")) return undefined;
    throw error;
  });
