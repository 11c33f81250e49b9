import type { Change } from "@quayside/core";

type Listener = (changes: readonly Change[]) => void;

/** Tells the other tabs and workers of the site what changed. Where there is no `BroadcastChannel`, nobody is told. */
export class Announcements {
  readonly #name: string;
  readonly #listeners = new Set<Listener>();
  #channel: BroadcastChannel | undefined;
  #closed = false;

  constructor(name: string) {
    this.#name = name;
  }

  announce(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    try {
      this.#open()?.postMessage(changes);
    } catch {
      // A page that is going away: best effort is the contract.
    }
  }

  watch(listener: Listener): () => void {
    // Its own function for each call, so that stopping one of two equal listeners leaves the other.
    const own: Listener = (changes) => listener(changes);
    this.#listeners.add(own);
    this.#open();
    return () => void this.#listeners.delete(own);
  }

  close(): void {
    this.#closed = true;
    this.#listeners.clear();
    this.#channel?.close();
    this.#channel = undefined;
  }

  #open(): BroadcastChannel | undefined {
    if (this.#closed || this.#channel || typeof BroadcastChannel === "undefined") return this.#channel;
    // A server that renders the page has no records to share, and an open channel keeps Node from ending.
    if (typeof indexedDB === "undefined") return undefined;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => {
      // Other code of the site may use the name too.
      if (Array.isArray(data)) for (const listener of [...this.#listeners]) listener(data);
    };
    return this.#channel;
  }
}
