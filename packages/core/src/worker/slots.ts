/**
 * Room for so many handlers at once, shared by workers: they never run more than that together. Who found no room stands
 * in line and goes before those who come later, so that none of them starves.
 */
export class Slots {
  #members: readonly Share[] = [];
  readonly #line = new Set<Share>();
  #size: number;
  #free: number;

  constructor(size: number) {
    this.#size = this.#free = size;
  }

  /** Changes how many there are. Those that are taken stay so, even if they are more. */
  resize(size: number): void {
    this.#free += size - this.#size;
    this.#size = size;
    this.#tell();
  }

  /** @param onFree called when there may be room again. */
  join(onFree: () => void): Share {
    const share: Share = {
      get free() {
        return free(share);
      },
      take: (wanted) => {
        const taken = Math.max(0, Math.min(wanted, share.free));
        this.#free -= taken;
        if (taken > 0) this.#line.delete(share);
        return taken;
      },
      give: (count) => {
        if (count === 0) return;
        this.#free += count;
        this.#tell();
      },
      stand: () => this.#line.add(share),
      leave: () => {
        this.#line.delete(share);
        this.#members = this.#members.filter((member) => member !== share);
        this.#tell();
      },
      onFree,
    };
    const free = (of: Share) => Math.max(0, this.#free - this.#before(of));
    this.#members = [...this.#members, share];
    return share;
  }

  /** How many stand in line before this one, each with a claim to one slot. */
  #before(share: Share): number {
    let before = 0;
    for (const other of this.#line) {
      if (other === share) break;
      before++;
    }
    return before;
  }

  #tell(): void {
    for (const { onFree } of this.#members) onFree();
  }
}

/** The view of one of those who share. */
export interface Share {
  /** How many it may take now. */
  readonly free: number;
  /** Takes up to `wanted`; answers how many it got. */
  take(wanted: number): number;
  give(count: number): void;
  /** Stands in line for the next free slot. */
  stand(): void;
  leave(): void;
  readonly onFree: () => void;
}
