/** Room for so many handlers at once. Workers that share one never run more than that together. */
export class Slots {
  readonly #listeners = new Set<() => void>();
  #free: number;

  constructor(size: number) {
    this.#free = size;
  }

  get free(): number {
    return this.#free;
  }

  /** Takes up to `wanted`; answers how many it got. */
  take(wanted: number): number {
    const taken = Math.max(0, Math.min(wanted, this.#free));
    this.#free -= taken;
    return taken;
  }

  give(count: number): void {
    if (count === 0) return;
    this.#free += count;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Calls back when some became free. Returns the function that stops it. */
  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
