import type { StoredError } from "@quayside/core";

/** What was last heard of the remote. */
export interface Reach {
  readonly lastError?: StoredError;
  /** Since when no attempt has got through, in ms since epoch. */
  readonly unreachableSince?: number;
}

type Message = { readonly reach: Reach } | { readonly wake: true };

export interface NewsListener {
  readonly reach: (reach: Reach) => void;
  readonly wake: () => void;
}

/** What the tabs of an outbox tell each other: the one that forwards, how it goes; the others, to try again now. */
export class News {
  readonly #channel: BroadcastChannel | undefined;

  /** @param name Absent: there are no other tabs. */
  constructor(name: string | undefined, { reach, wake }: NewsListener) {
    if (name === undefined || typeof BroadcastChannel === "undefined") return;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }: MessageEvent<Partial<{ reach: Reach; wake: true }> | null>) => {
      if (data?.wake) wake();
      else if (data?.reach) reach(data.reach);
    };
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
