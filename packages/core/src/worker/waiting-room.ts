import type { Clock } from "../driver/clock.ts";

interface Waiter {
  readonly test: () => boolean;
  leave(): void;
}

/** Those who wait until something holds. Whoever changes something calls `ask`. */
export class WaitingRoom {
  readonly #clock: Clock;
  readonly #waiters = new Set<Waiter>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when `test` holds, now or at an `ask`; or after `timeoutMs`. */
  until(test: () => boolean, timeoutMs?: number): Promise<void> {
    if (test()) return Promise.resolve();
    return new Promise((resolve) => {
      let disarm = () => {};
      const waiter: Waiter = {
        test,
        leave: () => {
          disarm();
          this.#waiters.delete(waiter);
          resolve();
        },
      };
      if (timeoutMs !== undefined) disarm = this.#clock.after(timeoutMs, () => waiter.leave());
      this.#waiters.add(waiter);
    });
  }

  ask(): void {
    if (this.#waiters.size === 0) return;
    for (const waiter of this.#waiters) if (waiter.test()) waiter.leave();
  }
}
