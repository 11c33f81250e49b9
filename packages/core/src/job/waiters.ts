/** Calls that wait for a condition. Code that may have made a condition true calls `ask`. */
export class Waiters {
  readonly #waiters = new Set<() => void>();

  /** Resolves when `test` returns true, now or at a later call of `ask`. */
  until(test: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const waiter = () => {
        if (!test()) return;
        this.#waiters.delete(waiter);
        resolve();
      };
      this.#waiters.add(waiter);
      waiter();
    });
  }

  ask(): void {
    for (const waiter of this.#waiters) waiter();
  }
}
