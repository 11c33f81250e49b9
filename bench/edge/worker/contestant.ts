/** The payload of every job, whoever stores it. */
export interface Payload {
  readonly to: string;
  readonly subject: string;
  readonly index: number;
}

export const payloadOf = (index: number): Payload => ({ to: "ada@example.com", subject: "Welcome on board", index });

/** Rows written include alarms: each that is set is billed as one. */
export interface Rows {
  readonly read: number;
  readonly written: number;
  /** How many of them are alarms, where that is counted. */
  readonly alarms?: number;
}

/**
 * What each contestant's object does. Node times one call around all of its work: the clock of the platform stands
 * still in production while code runs, and counts whole milliseconds here.
 */
export interface Contestant {
  /** Adds so many jobs, `batch` at a time, each batch awaited. None of them is worked. */
  add(jobs: number, batch: number): Promise<void>;
  /** Has so many jobs wait, to be worked by `work`. */
  fill(jobs: number): Promise<void>;
  /** Works all that waits; resolves when nothing of it is left in the store. */
  work(): Promise<void>;
  /** Adds one job to the idle object; resolves when its handler starts. */
  startOne(): Promise<void>;
  /** Adds so many jobs, `batch` at a time, has them worked, and tells what that read and wrote. */
  rows(jobs: number, batch: number): Promise<Rows>;
}

/** Counts runs of handlers. The isolate's: no two objects work at once here. */
class Runs {
  #total = 0;
  #awaited = 0;
  #reached: () => void = () => {};

  get total(): number {
    return this.#total;
  }

  /** Resolves when handlers have started so often. One caller at a time. */
  async until(total: number): Promise<void> {
    if (this.#total >= total) return;
    this.#awaited = total;
    await new Promise<void>((resolve) => {
      this.#reached = resolve;
    });
  }

  /** Resolves when a handler has started so often from now on. */
  next(count: number): Promise<void> {
    return this.until(this.#total + count);
  }

  /** What every handler does, and all it does. */
  readonly run = (): void => {
    if (++this.#total === this.#awaited) this.#reached();
  };
}

export const runs = new Runs();

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** So many items in arrays of at most `size`. */
export function* batchesOf(count: number, size: number): Generator<readonly Payload[]> {
  for (let from = 0; from < count; from += size) {
    yield Array.from({ length: Math.min(size, count - from) }, (_, index) => payloadOf(from + index));
  }
}
