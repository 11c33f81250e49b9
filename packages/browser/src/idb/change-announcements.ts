import { systemClock } from "@quayside/core";
import { CHANGE_KINDS, type Change } from "@quayside/core/engine";
import { onPageHidden, openChannel } from "../tabs/page-lifecycle.ts";
import type { UpgradeProgress } from "./connection.ts";

/** Message that a tab posts while it upgrades the database. Older code ignores messages that are not arrays. */
interface Upgrading {
  readonly upgrading: UpgradeProgress;
}

type Listener = (changes: readonly Change[]) => void;

/**
 * Shortest interval between two messages to other tabs, in ms, because a message costs a tenth of an awaited add.
 * Changes that are announced meanwhile are sent in the next message, equal ones once.
 */
const PAUSE_MS = 10;

/**
 * Announces changes of the database to the other tabs and workers of the site. Without a `BroadcastChannel`, announces
 * nothing.
 */
export class Announcements {
  readonly #name: string;
  readonly #upgrading: (progress: UpgradeProgress) => void;
  readonly #listeners = new Set<Listener>();
  readonly #queues = new Set<string>();
  #channel: BroadcastChannel | undefined;
  #closed = false;
  #unhide: (() => void) | undefined;
  /** Changes to post, by their JSON text, so that equal changes are posted once. */
  readonly #unsent = new Map<string, Change>();
  /** Whether a task that posts a message is scheduled. */
  #posting = false;
  /** Timer that runs while the last message is too recent to send the next one. */
  #pause: ReturnType<typeof setTimeout> | undefined;

  /**
   * Creates the announcements of a database.
   *
   * @param upgrading called with the progress of an upgrade in another tab.
   */
  constructor(name: string, upgrading: (progress: UpgradeProgress) => void = () => {}) {
    this.#name = name;
    this.#upgrading = upgrading;
  }

  announce(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    this.#remember(changes);
    if (!this.#open()) return;
    for (const change of changes) this.#unsent.set(JSON.stringify(change), change);
    // A hidden page posts without a pause, because browsers delay its timers by a second or a minute.
    if (!this.#posting && (this.#pause === undefined || isHidden())) this.#afterwards();
  }

  watch(listener: Listener): () => void {
    // A function per call, so that stopping one of two equal listeners keeps the other.
    const own: Listener = (changes) => listener(changes);
    this.#listeners.add(own);
    this.#open();
    return () => void this.#listeners.delete(own);
  }

  close(): void {
    this.#closed = true;
    this.#listeners.clear();
    this.#hangUp();
    this.#unhide?.();
  }

  #hangUp(): void {
    this.#send();
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.#posting = false;
    this.#channel?.close();
    this.#channel = undefined;
  }

  /**
   * Reports a change for every queue that a change has named so far, because the page missed messages while it was
   * hidden.
   */
  #pickUp(): void {
    if (this.#listeners.size === 0) return;
    this.#open();
    this.#tell([...this.#queues].flatMap((queue) => CHANGE_KINDS.map((kind) => ({ queue, kind }))));
  }

  /** Posts the unsent changes in a later task, so that the caller that made the change continues first. */
  #afterwards(): void {
    this.#posting = true;
    void systemClock.nextTask().then(() => {
      if (this.#posting) this.#sendAndPause();
    });
  }

  #sendAndPause(): void {
    this.#posting = false;
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      if (this.#unsent.size > 0) this.#sendAndPause();
    }, PAUSE_MS);
    this.#send();
  }

  #send(): void {
    const changes = [...this.#unsent.values()];
    this.#unsent.clear();
    if (changes.length > 0) this.#post(changes);
  }

  #post(message: readonly Change[] | Upgrading): void {
    try {
      this.#channel?.postMessage(message);
    } catch {
      // The page is being closed; the message is dropped.
    }
  }

  #tell(changes: readonly Change[]): void {
    for (const listener of [...this.#listeners]) listener(changes);
  }

  #remember(changes: readonly Change[]): void {
    for (const { queue } of changes) this.#queues.add(queue);
  }

  #open(): BroadcastChannel | undefined {
    if (this.#closed || this.#channel) return this.#channel;
    this.#channel = openChannel(this.#name);
    if (!this.#channel) return undefined;
    // Closes the channel of a hidden page: a message would evict it from the back/forward cache
    // (https://web.dev/articles/bfcache#broadcastchannel).
    this.#unhide ??= onPageHidden(
      () => this.#hangUp(),
      () => this.#pickUp(),
    );
    this.#channel.onmessage = ({ data }) => {
      const progress = (data as Partial<Upgrading> | null)?.upgrading;
      if (progress) this.#upgrading(progress);
      // Other code of the site may use the same channel name.
      if (!Array.isArray(data)) return;
      this.#remember(data);
      this.#tell(data);
    };
    return this.#channel;
  }
}

const isHidden = (): boolean => typeof document !== "undefined" && document.visibilityState === "hidden";
