import type { JobCounts, JobMap, Queue } from "@quayside/core";
import { useMemo, useSyncExternalStore } from "react";
import { type Live, type LiveState, loading } from "./live/live-store.ts";
import { type LivePage, type LiveQuery, liveCounts, liveJobs } from "./live/live-values.ts";

/** The live counts of each queue. Shared by all components, so that the counts are read once. */
const countsOf = new WeakMap<object, Live<JobCounts>>();

/**
 * Returns a page of a queue's jobs, read again after changes in any tab or worker: see `liveJobs`. The query may be an
 * inline object; reading starts again only when its content changes.
 *
 * On a server, and until the first read is done, `status` is `loading`.
 *
 * @example
 * function Failed() {
 *   const { value, error } = useJobs(queue, { state: "failed", limit: 20 });
 *   if (error) return <p>The jobs cannot be read.</p>;
 *   return <ul>{value?.jobs.map((job) => <li key={job.id}>{job.name}: {job.error?.message}</li>)}</ul>;
 * }
 */
export function useJobs<Jobs extends JobMap, Ctx extends object>(
  queue: Queue<Jobs, Ctx>,
  query: LiveQuery = {},
): LiveState<LivePage<Jobs>> {
  // The query as text, independent of the order of its fields.
  const key = JSON.stringify(Object.entries(query).sort());
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the query, which is another object each time.
  return useLive(useMemo(() => liveJobs(queue, query), [queue, key]));
}

/**
 * Returns the numbers of a queue's jobs by state, updated after changes: see `liveCounts`.
 *
 * @example
 * function Badge() {
 *   const { value } = useCounts(queue);
 *   return <span>{value ? value.waiting + value.active : "…"}</span>;
 * }
 */
export function useCounts<Jobs extends JobMap, Ctx extends object>(queue: Queue<Jobs, Ctx>): LiveState<JobCounts> {
  let counts = countsOf.get(queue);
  if (!counts) {
    counts = liveCounts(queue);
    countsOf.set(queue, counts);
  }
  return useLive(counts);
}

/**
 * Subscribes a component to a live value. Creating a live value reads nothing, so a rendering that React discards has
 * no cost.
 */
const useLive = <T>({ subscribe, getSnapshot }: Live<T>): LiveState<T> =>
  useSyncExternalStore(subscribe, getSnapshot, loading);
