import type { Connectivity } from "@quayside/core";

/** Options of `connectivity`. */
export interface ConnectivityOptions {
  /**
   * Asks a server of yours whether it can be reached. Asked after a job that `requires: "network"` failed, and before one
   * is tried again, so that networks which only look like one (captive portals) cost no attempts. What throws, or takes
   * longer than 5 s, is a no.
   */
  readonly probe?: (() => Promise<boolean>) | undefined;
}

/**
 * Reports the network by `navigator.onLine` and its events. They are hints (a LAN without internet is "online"), so
 * they hold no job back; a `probe` is exact. `indexedDbDriver` includes it; with another driver pass it to the worker.
 *
 * @example
 * const queue = new Queue<Jobs>("mail", httpDriver({ url, token }));
 * await queue.run({ connectivity: connectivity({ probe: async () => (await fetch("/health")).ok }) });
 */
export function connectivity({ probe }: ConnectivityOptions = {}): Connectivity {
  return {
    isOnline: () => typeof navigator === "undefined" || navigator.onLine !== false,
    watch(listener) {
      if (typeof addEventListener === "undefined") return () => {};
      addEventListener("online", listener);
      addEventListener("offline", listener);
      return () => {
        removeEventListener("online", listener);
        removeEventListener("offline", listener);
      };
    },
    probe,
  };
}
