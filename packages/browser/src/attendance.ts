import type { Clock, Shift } from "@quayside/core";
import { databaseName } from "./database-name.ts";
import { Leadership } from "./leadership.ts";

/** Which tabs run workers: `all`, or one `leader` at a time. */
export type TabsOption = "all" | "leader";

/**
 * When the workers of a page may work: while it is there (not in the back/forward cache, not on its way out) and, where
 * one tab works for all, while it is that tab.
 */
export class Attendance {
  readonly #shifts = new Set<Shift>();
  readonly #leadership: Leadership | undefined;
  #away = false;
  #open = false;

  constructor(name: string, mode: TabsOption, clock: Clock) {
    if (mode === "leader") {
      this.#leadership = new Leadership(`${databaseName(name)}:leader`, clock, () => this.#decide());
    }
  }

  /** See `Driver.attend`. */
  attend(shift: Shift): () => void {
    if (this.#shifts.size === 0) this.#arrive();
    this.#shifts.add(shift);
    if (this.#open) shift.begin();
    else void this.#decide();
    return () => {
      if (this.#shifts.delete(shift) && this.#shifts.size === 0) this.#depart();
    };
  }

  #arrive(): void {
    // Workers have no such events: what a worker holds goes with the page that owns it.
    if (typeof document !== "undefined") {
      addEventListener("pagehide", this.#hide);
      addEventListener("pageshow", this.#show);
    }
    this.#leadership?.seek();
  }

  #depart(): void {
    if (typeof document !== "undefined") {
      removeEventListener("pagehide", this.#hide);
      removeEventListener("pageshow", this.#show);
    }
    this.#open = false;
    this.#leadership?.resign();
  }

  readonly #hide = (): void => {
    this.#away = true;
    // The lock that makes it the leader goes last: until then the jobs of the others are not for this tab's taking.
    void this.#decide().finally(() => {
      if (this.#away) this.#leadership?.resign();
    });
  };

  readonly #show = (): void => {
    if (!this.#away) return;
    this.#away = false;
    this.#leadership?.seek();
    void this.#decide();
  };

  /** Begins or ends all shifts, if that is due. What an end does at once it has done when this returns. */
  async #decide(): Promise<void> {
    const open = !this.#away && (this.#leadership?.leading ?? true);
    if (open === this.#open) return;
    this.#open = open;
    const shifts = [...this.#shifts];
    if (open) for (const shift of shifts) shift.begin();
    else await Promise.allSettled(shifts.map((shift) => shift.end()));
  }
}
