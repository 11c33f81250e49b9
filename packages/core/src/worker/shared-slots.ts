/**
 * Room for so many handlers at once, shared by workers: together they never run more. A worker that found no slot waits in
 * line and goes before those that come later, so that none of them starves.
 */
export class Slots {
  readonly #members = new Set<SlotMember>();
  readonly #line = new Set<SlotMember>();
  #size: number;
  #free: number;

  constructor(size: number) {
    this.#size = this.#free = size;
  }

  /** Changes how many there are. Those that are taken stay taken, even if they are more. */
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

  /** Slots that a worker may take now: each worker before it in line has a claim to one. */
  freeFor(member: SlotMember): number {
    let free = this.#free;
    for (const other of this.#line) {
      if (other === member) break;
      free--;
    }
    return Math.max(0, free);
  }

  /** Takes up to `wanted` slots; returns how many it got. */
  take(member: SlotMember, wanted: number): number {
    const taken = Math.max(0, Math.min(wanted, this.freeFor(member)));
    this.#free -= taken;
    if (taken > 0) this.#line.delete(member);
    return taken;
  }

  /** Gives back slots, also of a worker that has left. */
  give(count: number): void {
    if (count === 0) return;
    this.#free += count;
    this.#announce();
  }

  wait(member: SlotMember): void {
    this.#line.add(member);
  }

  #announce(): void {
    for (const member of [...this.#members]) member.onFree();
  }
}

export interface SlotMember {
  /** Called when there may be a free slot again. */
  onFree(): void;
}
