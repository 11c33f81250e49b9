import type { OpenDriver, TestRunner } from "../harness.ts";
import { attemptsCases } from "./attempts.ts";
import { cancelCases } from "./cancel.ts";
import { claimCases } from "./claim.ts";
import { clockCases } from "./clock.ts";
import { clockSetBackCases } from "./clock-set-back.ts";
import { closeCases } from "./close.ts";
import { debounceCases } from "./debounce.ts";
import { dedupeCases } from "./dedupe.ts";
import { endCases } from "./end.ts";
import { enqueueCases } from "./enqueue.ts";
import { filtersCases } from "./filters.ts";
import { flowExistingChildrenCases } from "./flow-existing-children.ts";
import { flowFailureCases } from "./flow-failures.ts";
import { flowParentCases } from "./flow-parents.ts";
import { flowRepeatCases } from "./flow-repeats.ts";
import { flowsCases } from "./flows.ts";
import { groupDepthCases } from "./group-depth.ts";
import { groupRoomCases } from "./group-room.ts";
import { groupsCases } from "./groups.ts";
import { inspectCases } from "./inspect.ts";
import { interruptionsCases } from "./interruptions.ts";
import { isolatedJobsCases } from "./isolated-jobs.ts";
import { keepCases } from "./keep.ts";
import { leaseCases } from "./leases.ts";
import { livenessCases } from "./liveness.ts";
import { marksCases } from "./marks.ts";
import { maxActiveCases } from "./max-active.ts";
import { maxWaitingCases } from "./max-waiting.ts";
import { namesCases } from "./names.ts";
import { nextWakeCases } from "./next-wake.ts";
import { orderCases } from "./order.ts";
import { pauseCases } from "./pause.ts";
import { prefetchCases } from "./prefetch.ts";
import { promoteCases } from "./promote.ts";
import { rateLimitCases } from "./rate-limit.ts";
import { recoverCases } from "./recover.ts";
import { recurrenceChangeCases } from "./recurrence-changes.ts";
import { recurrenceOccurrenceCases } from "./recurrence-occurrences.ts";
import { recurrencesCases } from "./recurrences.ts";
import { releaseCases } from "./release.ts";
import { removeClearCases } from "./remove-clear.ts";
import { replaceCases } from "./replace.ts";
import { replaceSuccessorCases } from "./replace-successors.ts";
import { replayCases } from "./replay.ts";
import { retryCases } from "./retry.ts";
import { settleCases } from "./settle.ts";
import { staleCases } from "./stale.ts";
import { runCase, type Verb } from "./support.ts";
import { unknownNamesCases } from "./unknown-names.ts";
import { updateCases } from "./update.ts";
import { watchCases } from "./watch.ts";

const VERBS: readonly Verb[] = [
  enqueueCases,
  dedupeCases,
  replaceCases,
  replaceSuccessorCases,
  debounceCases,
  claimCases,
  orderCases,
  namesCases,
  unknownNamesCases,
  groupsCases,
  groupRoomCases,
  groupDepthCases,
  rateLimitCases,
  maxActiveCases,
  maxWaitingCases,
  prefetchCases,
  flowsCases,
  flowFailureCases,
  flowParentCases,
  flowExistingChildrenCases,
  flowRepeatCases,
  recurrencesCases,
  recurrenceChangeCases,
  recurrenceOccurrenceCases,
  marksCases,
  attemptsCases,
  updateCases,
  filtersCases,
  settleCases,
  retryCases,
  releaseCases,
  endCases,
  keepCases,
  replayCases,
  recoverCases,
  livenessCases,
  leaseCases,
  staleCases,
  interruptionsCases,
  isolatedJobsCases,
  cancelCases,
  removeClearCases,
  pauseCases,
  promoteCases,
  nextWakeCases,
  inspectCases,
  clockCases,
  clockSetBackCases,
  watchCases,
  closeCases,
];

/** Selects the cases that `driverConformance` runs. */
export interface ConformanceOptions {
  /** Names of the driver's plugins. Only cases that need no other plugin run. Absent: all cases. */
  readonly plugins?: readonly string[] | undefined;
}

/**
 * Runs the rules of the queue as named cases against a driver. Each case opens a driver on empty records, and checks
 * the invariants afterwards if `transact` gives access to the records.
 *
 * @returns the number of cases.
 * @example
 * import { describe, expect, it } from "vitest";
 * const cases = driverConformance({ describe, it, expect }, async () => {
 *   const clock = createManualClock();
 *   const store = new MemoryStore();
 *   const open = () => new StoreDriver(store, { clock });
 *   return { driver: open(), another: async () => open(), clock, … };
 * });
 */
export function driverConformance(runner: TestRunner, open: OpenDriver, { plugins }: ConformanceOptions = {}): number {
  let count = 0;
  for (const { name, cases } of VERBS) {
    const fit = plugins ? cases.filter((one) => one.plugins.every((plugin) => plugins.includes(plugin))) : cases;
    count += fit.length;
    if (fit.length === 0) continue;
    runner.describe(name, () => {
      for (const one of fit) runner.it(one.name, () => runCase(one, open, runner.expect));
    });
  }
  return count;
}
