import { LIMITS } from "./limits.ts";

/**
 * Room for so many handlers at once, shared by workers: together they never run more. A worker that found no slot waits in
 * line and goes before those that come later, so that none of them starves.
 */
export class Slots {
  readonly #rooms = new Set<Room>();
  readonly #line = new Set<Room>();
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

  join(room: Room): void {
    this.#rooms.add(room);
  }

  leave(room: Room): void {
    this.#rooms.delete(room);
    this.#line.delete(room);
    this.#announce();
  }

  /** Slots that this worker may take now: each worker before it in line has a claim to one. */
  freeFor(room: Room): number {
    let free = this.#free;
    for (const other of this.#line) {
      if (other === room) break;
      free--;
    }
    return Math.max(0, free);
  }

  /** Takes up to `wanted` slots; returns how many it got. */
  take(room: Room, wanted: number): number {
    const taken = Math.max(0, Math.min(wanted, this.freeFor(room)));
    this.#free -= taken;
    if (taken > 0) this.#line.delete(room);
    return taken;
  }

  give(count: number): void {
    if (count === 0) return;
    this.#free += count;
    this.#announce();
  }

  wait(room: Room): void {
    this.#line.add(room);
  }

  #announce(): void {
    for (const { onFree } of [...this.#rooms]) onFree();
  }
}

/** How many more jobs may be claimed: by one worker, or by all that share this. */
export interface JobQuota {
  left: number;
  /** Of those, asked for by exchanges that are on their way. */
  asked: number;
  /** Called when nothing is left and nothing runs. */
  readonly spent?: () => void;
}

/** How many jobs one worker may hold: by the slots that it shares with others, and within its quota. */
export class Room {
  quota: JobQuota = { left: 0, asked: 0 };
  readonly #slots: Slots;
  /** Called when there may be a free slot again. */
  readonly onFree: () => void;

  constructor(slots: Slots, onFree: () => void) {
    this.#slots = slots;
    this.onFree = onFree;
  }

  open(): void {
    this.#slots.join(this);
  }

  close(): void {
    this.#slots.leave(this);
  }

  get isSpent(): boolean {
    return this.quota.left <= 0;
  }

  /** How many jobs it may claim and start now. */
  get free(): number {
    return Math.max(0, Math.min(this.#slots.freeFor(this), this.#left));
  }

  /** How many of `wanted` jobs it may claim beside `free`, to be started later. */
  ahead(free: number, wanted: number): number {
    return Math.max(0, Math.min(wanted, this.#left - free, LIMITS.claim - free));
  }

  /** Takes slots for so many jobs; returns for how many there were some. */
  take(count: number): number {
    return this.#slots.take(this, count);
  }

  /** Gives back slots, also after `close`. */
  give(count: number): void {
    this.#slots.give(count);
  }

  /** Waits in line for a slot. */
  wait(): void {
    if (!this.isSpent) this.#slots.wait(this);
  }

  get #left(): number {
    return this.quota.left - this.quota.asked;
  }
}
