/** Limits of one request. */
export interface ApiLimits {
  /** Bytes of the body of a request. Default 1,048,576 (1 MiB). A larger one is answered 413. */
  readonly bodyBytes: number;
  /** Bytes of the payload of one job, as JSON. Default 131,072 (128 KiB). */
  readonly payloadBytes: number;
  /** Jobs in one request. Default 1,000. */
  readonly jobs: number;
  /** How long the outcome of an add with an `Idempotency-Key` is kept, in ms. Default 86,400,000 (24 h). */
  readonly keyMs: number;
}

/**
 * The limits of the HTTP API where `queueApi` is given no others: bytes of a body and of a payload, jobs per request, and
 * how long an `Idempotency-Key` is kept, in ms.
 */
export const API_LIMITS: ApiLimits = {
  bodyBytes: 1024 * 1024,
  payloadBytes: 128 * 1024,
  jobs: 1_000,
  keyMs: 86_400_000,
};
