/**
 * Slots for running handlers, shared by workers, which together never run more. A worker without a free slot queues and
 * comes before later ones.
 */
export class Slots {
  readonly #members = new Set<SlotMember>();
  readonly #line = new Set<SlotMember>();
  #size: number;
  #free: number;

  constructor(size: number) {
    this.#size = this.#free = size;
  }

  /** Changes the number of slots. Taken slots stay taken, even if they are more. */
  resize(size: number): void {
    this.give(size - this.#size);
    this.#size = size;
  }

  join(member: SlotMember): void {
    this.#members.add(member);
  }

  leave(member: SlotMember): void {
    this.#members.delete(member);
    this.#line.delete(member);
    this.#announce();
  }

  /**
   * Returns the number of slots that a worker may take now. One slot is reserved for each worker that queued before it.
   */
  freeFor(member: SlotMember): number {
    let free = this.#free;
    for (const other of this.#line) {
      if (other === member) break;
      free--;
    }
    return Math.max(0, free);
  }

  /** Takes up to `wanted` slots. Returns the number taken. */
  take(member: SlotMember, wanted: number): number {
    const taken = Math.max(0, Math.min(wanted, this.freeFor(member)));
    this.#free -= taken;
    if (taken > 0) this.#line.delete(member);
    return taken;
  }

  /** Returns slots that are free again, also those of a worker that has left. */
  give(count: number): void {
    if (count === 0) return;
    this.#free += count;
    this.#announce();
  }

  wait(member: SlotMember): void {
    this.#line.add(member);
  }

  #announce(): void {
    for (const member of [...this.#members]) member.changed();
  }
}

export interface SlotMember {
  /** Called when a slot may be free again. */
  changed(): void;
}
