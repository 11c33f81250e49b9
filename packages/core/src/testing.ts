export { driverConformance } from "./testing/conformance/driver-suite.ts";
export type { DriverUnderTest, Matchers, OpenDriver, TestRunner } from "./testing/harness.ts";
export { checkInvariants, type Snapshot, snapshot } from "./testing/invariants.ts";
export { createManualClock, type ManualClock } from "./testing/manual-clock.ts";
export { seededRandom } from "./testing/seeded-random.ts";
export { storeConformance } from "./testing/store-suite.ts";
export { workerConformance } from "./testing/worker-suite.ts";
