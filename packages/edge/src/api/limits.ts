import type { Duration } from "@quayside/core";

/** Limits of one request. */
export interface ApiLimits {
  /** Maximum bytes of a request body. Default: 1,048,576 (1 MiB). A larger body is answered 413. */
  readonly bodyBytes: number;
  /** Maximum bytes of a job's payload, as JSON. Default: 131,072 (128 KiB). */
  readonly payloadBytes: number;
  /** Maximum number of jobs per request. Default: 1,000. */
  readonly jobs: number;
  /** Time for which the outcome of an add with an `Idempotency-Key` is kept, from 1 ms. Default: 24 h. */
  readonly keyTtl: Duration;
}

/**
 * Default limits of the HTTP API: bytes of a body and of a payload, jobs per request, and how long the outcome of a
 * request with an `Idempotency-Key` is kept.
 */
export const API_LIMITS: ApiLimits = {
  bodyBytes: 1024 * 1024,
  payloadBytes: 128 * 1024,
  jobs: 1_000,
  keyTtl: "24h",
};
