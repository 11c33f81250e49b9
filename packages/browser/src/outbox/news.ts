import type { StoredError } from "@quayside/core";

/** What was last heard of the remote. */
export interface Reach {
  readonly lastError?: StoredError;
  /** Since when no attempt has got through, in ms since epoch. */
  readonly unreachableSince?: number;
  /** Why jobs are held back. `auth`: nobody is signed in, as far as the remote can tell. */
  readonly paused?: "auth";
}

type Message = { readonly reach: Reach } | { readonly wake: true } | { readonly ask: true };

export interface NewsListener {
  readonly reach: (reach: Reach) => void;
  readonly wake: () => void;
  /** A tab that has just come wants to know how it stands. */
  readonly asked: () => void;
}

/** What the tabs of an outbox tell each other: the one that forwards, how it goes; the others, to try again now. */
export class News {
  readonly #channel: BroadcastChannel | undefined;

  /** @param name Absent: there are no other tabs. */
  constructor(name: string | undefined, { reach, wake, asked }: NewsListener) {
    if (name === undefined || typeof BroadcastChannel === "undefined") return;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }: MessageEvent<Partial<{ reach: Reach; wake: true; ask: true }> | null>) => {
      if (data?.wake) wake();
      else if (data?.ask) asked();
      else if (data?.reach) reach(data.reach);
    };
    this.tell({ ask: true });
  }

  tell(message: Message): void {
    try {
      this.#channel?.postMessage(message);
    } catch {
      // A page that is going away.
    }
  }

  close(): void {
    this.#channel?.close();
  }
}
