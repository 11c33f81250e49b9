const SHALLOW = 1_000;
const BURSTS = 15;

/** Compares what something costs at different depths. A queue is filled only once: bursts leave it as deep as it was. */
export class Depths<Queue> {
  readonly #fill: (jobs: number) => Promise<Queue>;
  readonly #filled = new Map<number, Promise<Queue>>();

  constructor(fill: (jobs: number) => Promise<Queue>) {
    this.#fill = fill;
  }

  /** Time of a burst with so many waiting, over that with 1,000: medians of several, taken in turns. */
  async ratio(depth: number, burst: (queue: Queue) => Promise<number>): Promise<number> {
    const [shallow, deep] = [await this.#at(SHALLOW), await this.#at(depth)];
    const took = { shallow: [] as number[], deep: [] as number[] };
    for (let turn = 0; turn < BURSTS; turn++) {
      took.shallow.push(await burst(shallow));
      took.deep.push(await burst(deep));
    }
    return median(took.deep) / median(took.shallow);
  }

  /** All that was filled. */
  async each(then: (queue: Queue) => Promise<void>): Promise<void> {
    for (const filled of this.#filled.values()) await then(await filled);
  }

  #at(depth: number): Promise<Queue> {
    const filled = this.#filled.get(depth) ?? this.#fill(depth);
    this.#filled.set(depth, filled);
    return filled;
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number;
