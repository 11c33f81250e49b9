import type { Program, Records } from "@quayside/core/engine";

type LeaseRecord = Records["leases"];

const KEY = ["counter"] as const;

/** Answers how often `increment` has run. */
export function* count(): Program<number> {
  const [found] = (yield { op: "get", collection: "leases", keys: [KEY] }) as readonly (LeaseRecord | undefined)[];
  return found?.exchange ?? 0;
}

/** Counts in a record that any number of programs share; answers the new count. */
export function* increment(): Program<number> {
  const exchange = (yield* count()) + 1;
  const next: LeaseRecord = {
    key: KEY,
    liveness: "time",
    leaseMs: 1_000,
    expiresAt: 0,
    renewedAt: 0,
    exchange,
    held: [],
  };
  yield { op: "put", collection: "leases", records: [next] };
  return exchange;
}
