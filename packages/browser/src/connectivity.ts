import type { Connectivity } from "@quayside/core";

/** Options of `connectivity`. */
export interface ConnectivityOptions {
  /**
   * Asks a server of yours whether it can be reached. Called after a job with `requires: "network"` failed, and before
   * it is retried, so that networks without internet access (captive portals) cost no attempts. An error, or no result
   * within 5 s, counts as offline.
   */
  readonly probe?: (() => Promise<boolean>) | undefined;
}

/**
 * Detects the network by `navigator.onLine` and its events. Both are hints (a LAN without internet is "online"), so
 * they do not hold jobs back; a `probe` is exact. `indexedDbDriver` includes it; with another driver, pass it to the
 * worker.
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
