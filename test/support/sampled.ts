import type { TestRunner } from "@quayside/testing";
import { inject } from "vitest";

/**
 * The runner, for every `n`-th case of each suite in the check, and for all cases in `pnpm nightly`. For a slow home that
 * is put together from homes on which the check runs all cases.
 */
export function sampled(runner: TestRunner, n: number): TestRunner {
  if (inject("hostile").nightly) return runner;
  let seen = 0;
  return {
    expect: runner.expect,
    describe(name, define) {
      runner.describe(name, () => {
        seen = 0;
        define();
      });
    },
    it(name, run) {
      if (seen++ % n === 0) runner.it(name, run);
    },
  };
}
