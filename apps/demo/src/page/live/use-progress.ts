import type { Json, WorkerEvents } from "@quayside/core";
import { useEffect, useState } from "preact/hooks";

/** The part of a `Queue` that tells of progress. */
export interface Progressing {
  on(event: "progress", listener: (event: WorkerEvents["progress"]) => void): () => void;
}

/** Progress of the jobs that run here, by id, as it is made. That of others comes with their records, a second later. */
export function useProgress(queue: Progressing): ReadonlyMap<string, Json> {
  const [progress, setProgress] = useState<ReadonlyMap<string, Json>>(new Map());
  useEffect(
    () =>
      queue.on("progress", ({ job, progress: value }) => {
        // Only the last few: what has ended is not shown any more.
        setProgress((before) => new Map([...before].slice(-20)).set(job.id, value));
      }),
    [queue],
  );
  return progress;
}
