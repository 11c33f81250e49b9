import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Short files that run whole suites of conformance. A run that knows no times yet would begin the longest last. */
const LONGEST = ["http-driver-shards.test.ts", "http-driver.test.ts", "drivers.test.ts", "sharded-conformance.test.ts"];

/** As Vitest would order them, but these first, so that no core is idle at the end. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const rank = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}`));
      return at < 0 ? LONGEST.length : at;
    };
    return sorted.sort((one, other) => rank(one) - rank(other));
  }
}
