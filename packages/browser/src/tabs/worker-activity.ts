import type { Clock } from "@quayside/core";
import type { WorkerSession } from "@quayside/core/engine";
import { databaseName } from "../idb/database-name.ts";
import { Leadership } from "./leadership.ts";
import { onPageHidden } from "./page-lifecycle.ts";

/** Which tabs run workers: `all`, or one `leader` at a time. */
export type TabsOption = "all" | "leader";

/**
 * When the workers of a page may work: while the page is there (not in the back/forward cache, not on its way out) and,
 * where one tab works for all, while it is that tab. An urgent session (a drain, the next job) does not wait for the lead.
 */
export class WorkerActivity {
  /** All sessions; true: it has begun. */
  readonly #sessions = new Map<WorkerSession, boolean>();
  readonly #leadership: Leadership | undefined;
  #away = false;
  #closed = false;
  #depart = () => {};
  /** Why this tab does not work any more: its store was upgraded by newer code. */
  #outdated: unknown;

  constructor(name: string, mode: TabsOption, clock: Clock) {
    if (mode === "leader") {
      this.#leadership = new Leadership(`${databaseName(name)}:leader`, clock, () => this.#decide());
    }
  }

  /** See `Driver.onActiveChange`. */
  onActiveChange(session: WorkerSession): () => void {
    if (this.#closed) {
      // Is refused by the driver.
      session.begin();
      return () => {};
    }
    if (this.#sessions.size === 0)
      this.#depart = onPageHidden(
        () => this.#hide(),
        () => this.#show(),
      );
    this.#sessions.set(session, false);
    this.#seek();
    // It may not begin: says why.
    if (this.#outdated !== undefined && !session.urgent) void session.end(this.#outdated);
    void this.#decide();
    return () => {
      if (!this.#sessions.delete(session)) return;
      this.#seek();
      if (this.#sessions.size === 0) this.#depart();
    };
  }

  /** Ends all sessions and gives up the lead because of this error, which workers report. Undefined: they may work again. */
  async outdate(error: unknown): Promise<void> {
    this.#outdated = error;
    if (error === undefined) this.#seek();
    await this.#decide(error);
    if (this.#outdated !== undefined) this.#leadership?.resign();
  }

  /** Ends all sessions and gives up the lead. Answers what stops the workers, once the driver is closed. */
  async close(): Promise<() => void> {
    this.#closed = true;
    this.#away = true;
    const sessions = [...this.#sessions.keys()];
    const ended = this.#decide();
    this.#leadership?.resign();
    await ended;
    this.#depart();
    return () => {
      // What they ask for now is refused with `closed`, which stops a worker.
      for (const session of sessions) if (this.#sessions.has(session)) session.begin();
    };
  }

  /** In line for the lead while a session needs it. */
  #seek(): void {
    const wanted = [...this.#sessions.keys()].some(({ urgent }) => !urgent);
    if (!wanted) this.#leadership?.resign();
    else if (!this.#away && this.#outdated === undefined) this.#leadership?.seek();
  }

  #hide(): void {
    this.#away = true;
    // The lock that makes it the leader goes last: until then the jobs of the others are not for this tab's taking.
    void this.#decide().finally(() => {
      if (this.#away) this.#leadership?.resign();
    });
  }

  #show(): void {
    if (!this.#away) return;
    this.#away = false;
    this.#seek();
    void this.#decide();
  }

  /** Begins or ends the sessions for which that is due. What an end does at once it has done when this returns. */
  async #decide(cause?: unknown): Promise<void> {
    const leading = this.#outdated === undefined && (this.#leadership?.leading ?? true);
    const ending: Promise<void>[] = [];
    for (const [session, begun] of [...this.#sessions]) {
      const may = !this.#away && (leading || session.urgent === true);
      if (may === begun) continue;
      this.#sessions.set(session, may);
      if (may) session.begin();
      else ending.push(session.end(cause));
    }
    await Promise.allSettled(ending);
  }
}
