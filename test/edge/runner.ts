import type { TestRunner } from "@quayside/testing";
import { describe, expect, it } from "vitest";

/**
 * vitest's own three. The socket between workerd and vitest breaks on a lone surrogate, which some cases are about, and
 * then nothing at all is reported: a failure that holds one is reduced to its message, made well-formed.
 */
export const runner: TestRunner = {
  describe,
  expect,
  it: (name, run) =>
    it(name, async () => {
      try {
        await run();
      } catch (error) {
        // JSON writes a lone surrogate as an escape.
        if (!/\\ud[89a-f]/i.test(JSON.stringify([String(error), error]))) throw error;
        throw new Error(String(error).toWellFormed());
      }
    }),
};
