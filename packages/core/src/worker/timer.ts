import type { Clock } from "../driver/clock.ts";

/** One thing to do later: arming it again replaces what it was armed for. */
export class Timer {
  readonly #clock: Clock;
  #stop: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get armed(): boolean {
    return this.#stop !== undefined;
  }

  arm(ms: number, run: () => void): void {
    this.disarm();
    this.#stop = this.#clock.after(ms, () => {
      this.#stop = undefined;
      run();
    });
  }

  disarm(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}
