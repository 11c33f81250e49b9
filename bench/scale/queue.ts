import { shardOfKey } from "@quayside/edge/shards";
import { seededRandom } from "@quayside/testing";
import type { ServiceTimes } from "./figures.ts";
import { type Arrival, type Load, runObject } from "./object.ts";

export interface Scenario extends Load {
  readonly jobsPerMinute: number;
  readonly shards: number;
  /** Jobs in one call of a producer. */
  readonly batch: number;
  /** Exponent of the Zipf law by which keys are chosen among `KEYS`; absent: jobs have no key. */
  readonly zipf?: number;
}

export interface Figures {
  /** Of all jobs, the share that the shard with the most of them got. */
  readonly hottestShare: number;
  readonly hottestBusy: number;
  readonly meanBusy: number;
  /** Requests a second to the shard that gets the most. */
  readonly hottestRequests: number;
  /** Requests for each call of a producer. */
  readonly requestsPerCall: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Leases written for each job. */
  readonly claimsPerJob: number;
  /** By how much the jobs that wait have grown in the second half of the time, of all that came in it. */
  readonly growth: number;
}

export const KEYS = 100_000;

/** A queue over shards for `seconds`, producers calling at random instants. The same seed gives the same figures. */
export function runQueue(scenario: Scenario, times: ServiceTimes, seconds: number, seed: number): Figures {
  const { jobsPerMinute, shards, batch, zipf } = scenario;
  const random = seededRandom(seed);
  const untilMs = seconds * 1_000;
  const perMs = jobsPerMinute / 60_000 / batch;
  const keyOf = zipf === undefined ? undefined : zipfKeys(zipf, random);
  const homes = new Map<number, number>();
  const homeOf = (key: number): number => {
    const known = homes.get(key);
    if (known !== undefined) return known;
    const home = shardOfKey(`customer-${key}`, shards);
    homes.set(key, home);
    return home;
  };
  const arrivals: Arrival[][] = Array.from({ length: shards }, () => []);
  let calls = 0;
  let requests = 0;
  let total = 0;
  for (let atMs = -Math.log(1 - random()) / perMs; atMs < untilMs; atMs += -Math.log(1 - random()) / perMs) {
    calls++;
    total += batch;
    const parts = new Map<number, number>();
    if (keyOf) {
      for (let job = 0; job < batch; job++) {
        const home = homeOf(keyOf());
        parts.set(home, (parts.get(home) ?? 0) + 1);
      }
    } else parts.set(Math.floor(random() * shards), batch);
    for (const [shard, jobs] of parts) {
      arrivals[shard]?.push({ atMs, jobs });
      requests++;
    }
  }
  const jobsOf = (shard: readonly Arrival[]) => shard.reduce((sum, { jobs }) => sum + jobs, 0);
  const outcomes = arrivals.map((shard) => runObject(shard, untilMs, times, scenario));
  const delays = Float64Array.from(outcomes.flatMap(({ delaysMs }) => [...delaysMs])).sort();
  const most = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b), 0);
  return {
    hottestShare: most(arrivals.map(jobsOf)) / total,
    hottestBusy: most(outcomes.map(({ busy }) => busy)),
    meanBusy: outcomes.reduce((sum, { busy }) => sum + busy, 0) / shards,
    hottestRequests: most(arrivals.map(({ length }) => length)) / seconds,
    requestsPerCall: requests / calls,
    p50Ms: delays[Math.floor(delays.length * 0.5)] ?? Number.POSITIVE_INFINITY,
    p99Ms: delays[Math.floor(delays.length * 0.99)] ?? Number.POSITIVE_INFINITY,
    claimsPerJob: outcomes.reduce((sum, { claims }) => sum + claims, 0) / delays.length,
    growth: outcomes.reduce((sum, { left, leftAtHalf }) => sum + left - leftAtHalf, 0) / (total / 2),
  };
}

/** Draws keys of which the k-th is chosen in proportion to k^-exponent. */
function zipfKeys(exponent: number, random: () => number): () => number {
  const sums = new Float64Array(KEYS);
  let sum = 0;
  for (let key = 0; key < KEYS; key++) {
    sum += (key + 1) ** -exponent;
    sums[key] = sum;
  }
  return () => {
    const wanted = random() * sum;
    let low = 0;
    let high = KEYS - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}
