import type { OpenDriver, TestRunner } from "./harness.ts";
import { attemptCases } from "./worker/attempts.ts";
import { batchOutcomeCases } from "./worker/batch-outcomes.ts";
import { batchCases } from "./worker/batches.ts";
import { boundCases } from "./worker/bounds.ts";
import { handlerCallCases } from "./worker/calls-from-handlers.ts";
import { closingCases } from "./worker/closing.ts";
import { encryptionCases } from "./worker/encryption.ts";
import { encryptionRefusalCases } from "./worker/encryption-refusals.ts";
import { featureCases } from "./worker/features.ts";
import { handlerContextCases } from "./worker/handler-context.ts";
import { hostileHandlerCases } from "./worker/hostile-handlers.ts";
import { lifeCases } from "./worker/life.ts";
import { networkCases } from "./worker/network.ts";
import { prefetchCases } from "./worker/prefetch.ts";
import { prefetchReleaseCases } from "./worker/prefetch-release.ts";
import { refusalCases } from "./worker/refusals.ts";
import { retryCases } from "./worker/retries.ts";
import { shiftCases } from "./worker/shifts.ts";
import { runWorkerCase } from "./worker/support.ts";
import { workerExchangeCases } from "./worker/worker-exchanges.ts";
import { workerStopCases } from "./worker/worker-stop.ts";
import { workerCases } from "./worker/workers.ts";

/**
 * Runs the rules of `Queue` and workers as cases on a driver: the ends of attempts, renewal, stopping, an unreachable
 * store. For drivers that pass `driverConformance`.
 *
 * @returns the number of cases.
 */
export function workerConformance(runner: TestRunner, open: OpenDriver): number {
  const topics = [
    lifeCases,
    handlerCallCases,
    attemptCases,
    retryCases,
    batchCases,
    batchOutcomeCases,
    boundCases,
    hostileHandlerCases,
    refusalCases,
    workerCases,
    workerExchangeCases,
    workerStopCases,
    prefetchCases,
    prefetchReleaseCases,
    closingCases,
    shiftCases,
    networkCases,
    featureCases,
    handlerContextCases,
    encryptionCases,
    encryptionRefusalCases,
  ];
  for (const { name, cases } of topics) {
    runner.describe(name, () => {
      for (const one of cases) runner.it(one.name, () => runWorkerCase(one, open, runner.expect));
    });
  }
  return topics.reduce((count, { cases }) => count + cases.length, 0);
}
