import { PRICES, REQUESTS_PER_SECOND, ROWS_READ, type ServiceTimes } from "./figures.ts";
import { runQueue, type Scenario } from "./queue.ts";

/** How much of what an object can do is planned for: the rest is for bursts, skew and its own restarts. */
export const PLANNED = 0.6;

/** Jobs a second that one object can do, and what stops it there. */
export function capacity(
  batch: number,
  concurrency: number,
  handlerMs: number,
  times: ServiceTimes,
): { readonly jobsPerSecond: number; readonly bound: string } {
  const busyMs = times.addMs / batch + times.addJobMs + times.claimMs / concurrency + times.claimJobMs;
  const bounds = [
    { jobsPerSecond: REQUESTS_PER_SECOND * batch, bound: "requests" },
    { jobsPerSecond: 1_000 / busyMs, bound: "its one thread" },
    { jobsPerSecond: handlerMs > 0 ? (concurrency / handlerMs) * 1_000 : Number.POSITIVE_INFINITY, bound: "handlers" },
  ];
  return bounds.reduce((least, one) => (one.jobsPerSecond < least.jobsPerSecond ? one : least));
}

export interface Plan {
  readonly scenario: Scenario;
  /** Dollars a month of 30 days, by what they pay for. */
  readonly rows: number;
  readonly requests: number;
  readonly duration: number;
  readonly rowsPerJob: number;
  readonly requestsPerJob: number;
}

const MONTH_S = 30 * 86_400;
/** An alarm is set about once in so many seconds while there is work. */
const ALARM_S = 10;

/** As many shards as the load takes, and what a month of it costs. Jobs have no keys, and nothing of them is kept. */
export function plan(
  load: Omit<Scenario, "shards">,
  times: ServiceTimes,
  { seconds, seed }: { readonly seconds: number; readonly seed: number },
): Plan {
  const { jobsPerMinute, batch, concurrency, handlerMs } = load;
  const { jobsPerSecond } = capacity(batch, concurrency, handlerMs, times);
  let shards = Math.max(1, Math.ceil(jobsPerMinute / 60 / (jobsPerSecond * PLANNED)));
  let figures = runQueue({ ...load, shards }, times, seconds, seed);
  // Jobs that come one by one are claimed one by one, as long as the object has time for that: it takes more objects.
  if (figures.meanBusy > PLANNED) {
    shards = Math.ceil((shards * figures.meanBusy) / PLANNED);
    figures = runQueue({ ...load, shards }, times, seconds, seed);
  }
  const scenario = { ...load, shards };
  const { claimsPerJob } = figures;
  const jobs = (jobsPerMinute / 60) * MONTH_S;
  const alarms = (shards * MONTH_S) / ALARM_S;
  // Put, deleted, and its part of the lease record.
  const rowsPerJob = 2 + claimsPerJob + alarms / jobs;
  const requestsPerJob = 1 / batch + alarms / jobs;
  return {
    scenario,
    rowsPerJob,
    requestsPerJob,
    rows: jobs * (rowsPerJob * PRICES.rowWritten + ROWS_READ * PRICES.rowRead),
    requests: jobs * requestsPerJob * PRICES.request,
    duration: shards * MONTH_S * PRICES.objectSecond,
  };
}
