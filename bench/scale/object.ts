import type { ServiceTimes } from "./figures.ts";

/** A request that brings jobs to an object. */
export interface Arrival {
  readonly atMs: number;
  readonly jobs: number;
}

export interface Load {
  /** Jobs that the object runs at once. */
  readonly concurrency: number;
  /** What a handler takes. */
  readonly handlerMs: number;
}

export interface Outcome {
  /** Share of the time in which the object was busy with the queue itself. */
  readonly busy: number;
  /** From each job's arrival to the start of its handler, in ms. */
  readonly delaysMs: Float64Array;
  readonly claims: number;
  /** Jobs that had come and not started by half of the time, and when it was over. */
  readonly leftAtHalf: number;
  readonly left: number;
}

/**
 * One object over so many ms: a single thread that takes requests and claims in turn, the requests in the order of their
 * coming. Handlers run beside it (they wait for something else) and take one of its slots each.
 */
export function runObject(arrivals: readonly Arrival[], untilMs: number, times: ServiceTimes, load: Load): Outcome {
  const waiting = new Line();
  const running = new Line();
  const delays: number[] = [];
  let now = 0;
  let busyMs = 0;
  let claims = 0;
  let next = 0;
  let free = load.concurrency;
  let claimed = false;
  let leftAtHalf: number | undefined;
  const left = (atMs: number): number => {
    let count = waiting.length;
    for (let index = next; (arrivals[index]?.atMs ?? Number.POSITIVE_INFINITY) <= atMs; index++)
      count += (arrivals[index] as Arrival).jobs;
    return count;
  };
  while (now < untilMs) {
    if (now >= untilMs / 2) leftAtHalf ??= left(now);
    while (running.length > 0 && running.first <= now) {
      running.shift();
      free++;
    }
    const arrival = arrivals[next];
    const adds = arrival !== undefined && arrival.atMs <= now;
    const claimable = waiting.length > 0 && free > 0;
    if (adds && (!claimable || claimed)) {
      const took = Math.max(times.requestMs, times.addMs + arrival.jobs * times.addJobMs);
      now += took;
      busyMs += took;
      for (let job = 0; job < arrival.jobs; job++) waiting.push(arrival.atMs);
      next++;
      claimed = false;
    } else if (claimable) {
      const count = Math.min(free, waiting.length);
      const took = times.claimMs + count * times.claimJobMs;
      now += took;
      busyMs += took;
      claims++;
      for (let job = 0; job < count; job++) {
        delays.push(now - waiting.shift());
        running.push(now + load.handlerMs);
      }
      free -= count;
      claimed = true;
    } else {
      // Nothing to do before the next request comes or the next handler ends.
      const ends = running.length > 0 && waiting.length > 0 ? running.first : Number.POSITIVE_INFINITY;
      now = Math.min(arrival?.atMs ?? Number.POSITIVE_INFINITY, ends);
    }
  }
  return {
    busy: Math.min(1, busyMs / untilMs),
    delaysMs: Float64Array.from(delays),
    claims,
    leftAtHalf: leftAtHalf ?? 0,
    left: left(untilMs),
  };
}

/** First in, first out; handlers of one duration end in the order of their starts. */
class Line {
  readonly #items: number[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  get first(): number {
    return this.#items[this.#head] as number;
  }

  push(item: number): void {
    this.#items.push(item);
  }

  shift(): number {
    return this.#items[this.#head++] as number;
  }
}
