/** Each bucket is a tenth wider than the one before: a percentile is at most 10 % too high. */
const GROWTH = Math.log(1.1);
/** Up to 1.1^256 ms, which is over a thousand years. */
const BUCKETS = 256;

/** In ms; 0 while nothing was measured. */
export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** Times in buckets that grow with them: of fixed size, however many are added. */
export class Histogram {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;
  #max = 0;

  add(ms: number): void {
    const value = Math.max(0, ms);
    const bucket = value <= 1 ? Math.ceil(value) : 1 + Math.ceil(Math.log(value) / GROWTH);
    const index = Math.min(bucket, BUCKETS - 1);
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1;
    this.#count++;
    this.#max = Math.max(this.#max, value);
  }

  percentiles(): Percentiles {
    return { count: this.#count, p50: this.#at(0.5), p95: this.#at(0.95), p99: this.#at(0.99), max: this.#max };
  }

  /** The upper edge of the bucket in which the share is reached. */
  #at(share: number): number {
    let left = Math.ceil(this.#count * share);
    for (const [index, count] of this.#buckets.entries()) {
      left -= count;
      if (left <= 0)
        return index < 2 ? Math.min(index, this.#max) : Math.min(Math.exp((index - 1) * GROWTH), this.#max);
    }
    return this.#max;
  }
}
