/** A queue with jobs in it. */
export interface Filled {
  /** Claims and settles so many, in ms. */
  work(jobs: number): Promise<number>;
  add(jobs: number): Promise<void>;
  close?(): Promise<void>;
}

const SHALLOW = 1_000;
const BURST = 500;
const BURSTS = 15;

/** Compares what a job costs at different depths. What is worked is added again, so that a queue is filled only once. */
export class Depths {
  readonly #fill: (jobs: number) => Promise<Filled>;
  readonly #filled = new Map<number, Promise<Filled>>();

  constructor(fill: (jobs: number) => Promise<Filled>) {
    this.#fill = fill;
  }

  /** Time a job with so many waiting, over that with 1,000: medians of short bursts, taken in turns. */
  async ratio(depth: number): Promise<number> {
    const [shallow, deep] = [await this.#at(SHALLOW), await this.#at(depth)];
    const took = { shallow: [] as number[], deep: [] as number[] };
    for (let burst = 0; burst < BURSTS; burst++) {
      took.shallow.push(await this.#burst(shallow));
      took.deep.push(await this.#burst(deep));
    }
    return median(took.deep) / median(took.shallow);
  }

  async close(): Promise<void> {
    for (const filled of this.#filled.values()) await (await filled).close?.();
  }

  #at(depth: number): Promise<Filled> {
    const filled = this.#filled.get(depth) ?? this.#fill(depth);
    this.#filled.set(depth, filled);
    return filled;
  }

  async #burst(filled: Filled): Promise<number> {
    const took = await filled.work(BURST);
    await filled.add(BURST);
    return took;
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number;
