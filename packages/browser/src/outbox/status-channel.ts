import type { StoredError } from "@quayside/core";
import { onPageHidden, openChannel } from "../tabs/page-lifecycle.ts";

/** What was last heard of the remote. */
export interface RemoteStatus {
  readonly lastError?: StoredError;
  /** Since when no attempt has got through, in ms since epoch. */
  readonly unreachableSince?: number;
  /** Why jobs are held. `auth`: the remote refuses the token, or there is none. */
  readonly paused?: "auth";
}

type Message = { readonly reach: RemoteStatus } | { readonly wake: true } | { readonly ask: true };

export interface StatusListener {
  readonly reach: (reach: RemoteStatus) => void;
  readonly wake: () => void;
  /** A tab that has just opened asks for the present state. */
  readonly asked: () => void;
}

/** What the tabs of an outbox tell each other: the one that forwards, how it goes; the others, to try again now. */
export class StatusChannel {
  readonly #name: string | undefined;
  readonly #listener: StatusListener;
  #channel: BroadcastChannel | undefined;
  readonly #stop: () => void;

  /** @param name Absent: there are no other tabs. */
  constructor(name: string | undefined, listener: StatusListener) {
    this.#name = name;
    this.#listener = listener;
    this.#open();
    // An open channel that is written to drops its page from the back/forward cache.
    this.#stop = onPageHidden(
      () => this.#channel?.close(),
      () => this.#open(),
    );
  }

  tell(message: Message): void {
    try {
      this.#channel?.postMessage(message);
    } catch {
      // A page that is going away.
    }
  }

  close(): void {
    this.#stop();
    this.#channel?.close();
  }

  #open(): void {
    this.#channel = this.#name === undefined ? undefined : openChannel(this.#name);
    if (!this.#channel) return;
    const { reach, wake, asked } = this.#listener;
    this.#channel.onmessage = ({
      data,
    }: MessageEvent<Partial<{ reach: RemoteStatus; wake: true; ask: true }> | null>) => {
      if (data?.wake) wake();
      else if (data?.ask) asked();
      else if (data?.reach) reach(data.reach);
    };
    this.tell({ ask: true });
  }
}
