import type { Clock } from "@quayside/core";
import type { WorkerSession } from "@quayside/core/engine";
import { databaseName } from "../idb/database-name.ts";
import { Leadership } from "./leadership.ts";
import { onPageHidden } from "./page-lifecycle.ts";

/** Which tabs run workers: `all`, or one `leader` at a time. */
export type TabsOption = "all" | "leader";

/**
 * Decides when the workers of a page are active: while the page is shown (not in the back/forward cache or being
 * closed) and, with `leader`, while this tab leads. An urgent session (a drain, `processNext`) does not wait for the
 * leadership.
 */
export class WorkerActivity {
  /** All sessions of this page's workers. Value: whether the session is active. */
  readonly #sessions = new Map<WorkerSession, boolean>();
  readonly #leadership: Leadership | undefined;
  #away = false;
  #closed = false;
  #depart = () => {};
  /** The error because of which workers of this tab may not be active: newer code has upgraded their store. */
  #outdated: unknown;

  constructor(name: string, mode: TabsOption, clock: Clock) {
    if (mode === "leader") {
      this.#leadership = new Leadership(`${databaseName(name)}:leader`, clock, () => this.#decide());
    }
  }

  /** Begins and ends the session of a worker: see `Driver.onActiveChange`. */
  onActiveChange(session: WorkerSession): () => void {
    if (this.#closed) {
      // The driver refuses its calls.
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
    // The session may not begin; reports the reason.
    if (this.#outdated !== undefined && !session.urgent) void session.end(this.#outdated);
    void this.#decide();
    return () => {
      if (!this.#sessions.delete(session)) return;
      this.#seek();
      if (this.#sessions.size === 0) this.#depart();
    };
  }

  /**
   * Ends all sessions with `error` and gives up the leadership, because the store was upgraded. Without an error: lets
   * workers be active again.
   */
  async outdate(error: unknown): Promise<void> {
    this.#outdated = error;
    if (error === undefined) this.#seek();
    await this.#decide(error);
    if (this.#outdated !== undefined) this.#leadership?.resign();
  }

  /**
   * Ends all sessions and gives up the leadership. Returns a function that stops the workers for good. Call it when the
   * driver is closed.
   */
  async close(): Promise<() => void> {
    this.#closed = true;
    this.#away = true;
    const sessions = [...this.#sessions.keys()];
    const ended = this.#decide();
    this.#leadership?.resign();
    await ended;
    this.#depart();
    return () => {
      // The driver now refuses the worker's calls with `closed`, which stops the worker.
      for (const session of sessions) if (this.#sessions.has(session)) session.begin();
    };
  }

  /** Requests the leadership while a session needs it, and otherwise gives it up. */
  #seek(): void {
    const wanted = [...this.#sessions.keys()].some(({ urgent }) => !urgent);
    if (!wanted) this.#leadership?.resign();
    else if (!this.#away && this.#outdated === undefined) this.#leadership?.seek();
  }

  #hide(): void {
    this.#away = true;
    // The leader's lock is released last, so that other tabs start only after this tab's sessions have ended.
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

  /**
   * Begins or ends the sessions whose condition has changed. The synchronous parts of ending are done when the call
   * returns.
   */
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
