import type { OpenDriver, TestRunner } from "./harness.ts";
import { attemptCases } from "./worker/attempts.ts";
import { boundCases } from "./worker/bounds.ts";
import { closingCases } from "./worker/closing.ts";
import { encryptionCases } from "./worker/encryption.ts";
import { featureCases } from "./worker/features.ts";
import { lifeCases } from "./worker/life.ts";
import { networkCases } from "./worker/network.ts";
import { prefetchCases } from "./worker/prefetch.ts";
import { refusalCases } from "./worker/refusals.ts";
import { shiftCases } from "./worker/shifts.ts";
import { runWorkerCase } from "./worker/support.ts";
import { workerCases } from "./worker/workers.ts";

/**
 * `Queue` and `Worker` on a driver: how attempts end, what is renewed, how a worker stops, what it does without its
 * store. For any driver that passes `driverConformance`.
 *
 * @returns how many cases there are.
 */
export function workerConformance(runner: TestRunner, open: OpenDriver): number {
  const topics = [
    lifeCases,
    attemptCases,
    boundCases,
    refusalCases,
    workerCases,
    prefetchCases,
    closingCases,
    shiftCases,
    networkCases,
    featureCases,
    encryptionCases,
  ];
  for (const { name, cases } of topics) {
    runner.describe(name, () => {
      for (const one of cases) runner.it(one.name, () => runWorkerCase(one, open, runner.expect));
    });
  }
  return topics.reduce((count, { cases }) => count + cases.length, 0);
}
