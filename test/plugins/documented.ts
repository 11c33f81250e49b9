import type { Plugin } from "@quayside/core";

/** Starts at most `most` jobs of a queue per claim. The next claim is after a pause at the latest. */
export function gently(most: number, pauseMs: number): Plugin {
  return {
    name: "gently",
    *claiming({ tx }) {
      return { capacity: most, nextAt: () => tx.now + pauseMs };
    },
  };
}
