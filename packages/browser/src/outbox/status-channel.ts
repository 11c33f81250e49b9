import type { StoredError } from "@quayside/core";
import { onPageHidden, openChannel } from "../tabs/page-lifecycle.ts";

/** The result of the last attempt to reach the remote. */
export interface RemoteStatus {
  readonly lastError?: StoredError | undefined;
  /** Time since which no attempt has reached the remote, in ms since epoch. */
  readonly unreachableSince?: number | undefined;
  /** The reason why jobs are held. `auth`: the remote refuses the token, or there is none. */
  readonly paused?: "auth" | undefined;
}

type Message = { readonly status: RemoteStatus } | { readonly wake: true } | { readonly requestStatus: true };

export interface StatusListener {
  readonly status: (status: RemoteStatus) => void;
  readonly wake: () => void;
  /** Called when a newly opened tab requests the current status. */
  readonly statusRequested: () => void;
}

/** Messages between the tabs of an outbox: the forwarding tab posts its status; other tabs ask it to try again now. */
export class StatusChannel {
  readonly #name: string | undefined;
  readonly #listener: StatusListener;
  #channel: BroadcastChannel | undefined;
  readonly #stop: () => void;

  /**
   * Opens the channel.
   *
   * @param name name of the channel. Absent: there are no other tabs.
   */
  constructor(name: string | undefined, listener: StatusListener) {
    this.#name = name;
    this.#listener = listener;
    this.#open();
    // A message to an open channel evicts its page from the back/forward cache.
    this.#stop = onPageHidden(
      () => this.#channel?.close(),
      () => this.#open(),
    );
  }

  post(message: Message): void {
    try {
      this.#channel?.postMessage(message);
    } catch {
      // The page is being closed.
    }
  }

  close(): void {
    this.#stop();
    this.#channel?.close();
  }

  #open(): void {
    this.#channel = this.#name === undefined ? undefined : openChannel(this.#name);
    if (!this.#channel) return;
    const { status, wake, statusRequested } = this.#listener;
    this.#channel.onmessage = ({
      data,
    }: MessageEvent<
      (Partial<Record<"wake" | "requestStatus", true>> & { status?: RemoteStatus | undefined }) | null
    >) => {
      if (data?.wake) wake();
      else if (data?.requestStatus) statusRequested();
      else if (data?.status) status(data.status);
    };
    this.post({ requestStatus: true });
  }
}
