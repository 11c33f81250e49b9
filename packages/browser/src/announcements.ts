import type { Change } from "@quayside/core";

type Listener = (changes: readonly Change[]) => void;

/** Tells the other tabs and workers of the site what changed. Where there is no `BroadcastChannel`, nobody is told. */
export class Announcements {
  readonly #name: string;
  readonly #listeners = new Set<Listener>();
  #channel: BroadcastChannel | undefined;
  #closed = false;
  #self: MessageChannel | undefined;
  #unsent: Change[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  announce(changes: readonly Change[]): void {
    if (changes.length === 0 || !this.#open()) return;
    this.#unsent.push(...changes);
    // After whoever made the change has gone on, into its next transaction perhaps: a message takes a tenth of a
    // millisecond to post. What is announced until then goes with it.
    if (this.#unsent.length === changes.length) this.#afterwards();
  }

  watch(listener: Listener): () => void {
    // Its own function for each call, so that stopping one of two equal listeners leaves the other.
    const own: Listener = (changes) => listener(changes);
    this.#listeners.add(own);
    this.#open();
    return () => void this.#listeners.delete(own);
  }

  close(): void {
    this.#send();
    this.#closed = true;
    this.#listeners.clear();
    this.#channel?.close();
    this.#channel = undefined;
    this.#self?.port1.close();
  }

  /** As a task of its own. Not a timer: hidden pages wait a second, or a minute, for those. */
  #afterwards(): void {
    if (!this.#self) {
      this.#self = new MessageChannel();
      this.#self.port2.onmessage = () => this.#send();
    }
    this.#self.port1.postMessage(undefined);
  }

  #send(): void {
    const changes = this.#unsent;
    this.#unsent = [];
    try {
      if (changes.length > 0) this.#channel?.postMessage(changes);
    } catch {
      // A page that is going away: best effort is the contract.
    }
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
