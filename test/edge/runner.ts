import type { TestRunner } from "@quayside/core/testing";
import { describe, expect, it } from "vitest";

/**
 * vitest's own three. What a case throws is made well-formed on its way: the socket between workerd and vitest breaks
 * on a lone surrogate, which some cases are about, and then nothing at all is reported.
 */
export const runner: TestRunner = {
  describe,
  expect,
  it: (name, run) =>
    it(name, async () => {
      try {
        await run();
      } catch (error) {
        if (!(error instanceof Error) || JSON.stringify(error)?.isWellFormed() !== false) {
          const message = error instanceof Error ? error.message : String(error);
          if (message.isWellFormed()) throw error;
        }
        throw new Error(String(error).toWellFormed());
      }
    }),
};
