import type { JobMetrics, Metrics, QueueMetrics } from "./metrics.ts";

/** Counts of a manager's jobs since the manager was created, in total and by queue. */
export interface ManagerMetrics extends Pick<JobMetrics, "processed" | "failed" | "retried"> {
  readonly queues: { readonly [name: string]: QueueMetrics };
}

export function readManagerMetrics(metrics: Metrics): ManagerMetrics {
  const queues = Object.fromEntries(metrics.queues().map((name) => [name, metrics.read(name)]));
  const sum = (count: "processed" | "failed" | "retried") =>
    Object.values(queues).reduce((total, queue) => total + queue[count], 0);
  return { processed: sum("processed"), failed: sum("failed"), retried: sum("retried"), queues };
}
