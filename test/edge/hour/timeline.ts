import { type Clock, systemClock } from "@quayside/core";

/** Alarms are set for instants that the platform's clock does not reach: none rings by itself. */
const START = Date.UTC(2100, 0, 1);

type Owner = "object" | "caller";

interface Timer {
  readonly at: number;
  readonly run: () => void;
  readonly owner: Owner;
}

/** The time of one object and of its callers, moved by hand. */
export class Timeline {
  now = START;
  /** Changes whenever a timer is armed or cancelled. */
  changes = 0;
  /** How often the object's class was constructed. */
  lives = 0;
  readonly #timers = new Set<Timer>();

  /** The clock of the object's next life. A timer of an earlier life went with its memory. */
  begin(): Clock {
    this.lives++;
    for (const timer of this.#timers) if (timer.owner === "object") this.#timers.delete(timer);
    return this.clock("object");
  }

  clock(owner: Owner): Clock {
    return {
      now: () => this.now,
      monotonic: () => this.now,
      nextTask: systemClock.nextTask,
      after: (ms, run) => {
        const timer = { at: this.now + Math.ceil(Math.max(0, ms)), run, owner };
        this.changes++;
        this.#timers.add(timer);
        return () => {
          if (this.#timers.delete(timer)) this.changes++;
        };
      },
    };
  }

  /** When the next timer fires; infinite when none is armed. */
  next(owner: Owner): number {
    return Math.min(...[...this.#timers].filter((timer) => timer.owner === owner).map(({ at }) => at));
  }

  /** Fires the timers that are due. Those of the object are fired inside it. */
  fire(owner: Owner): void {
    for (const timer of [...this.#timers].sort((a, b) => a.at - b.at)) {
      if (timer.owner === owner && timer.at <= this.now && this.#timers.delete(timer)) timer.run();
    }
  }
}

const timelines = new Map<string, Timeline>();

/** The timeline of the object of this name; it outlives the object's memory. */
export function timelineOf(name: string): Timeline {
  const timeline = timelines.get(name) ?? new Timeline();
  timelines.set(name, timeline);
  return timeline;
}
