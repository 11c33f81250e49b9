/** What one request may bring. */
export interface ApiLimits {
  /** Bytes of a request's body. Default 1 MiB. */
  readonly bodyBytes: number;
  /** Bytes of one job's payload as JSON. Default 128 KiB. */
  readonly payloadBytes: number;
  /** Jobs in one request. Default 1,000. */
  readonly jobs: number;
  /** Ms for which the outcome of an add with an `Idempotency-Key` is remembered. Default 24 h. */
  readonly keyMs: number;
}

export const API_LIMITS: ApiLimits = {
  bodyBytes: 1024 * 1024,
  payloadBytes: 128 * 1024,
  jobs: 1_000,
  keyMs: 86_400_000,
};
