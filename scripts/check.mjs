// Everything that must hold before a change goes in: types, lint, then the tests of every project.
// All steps run, whatever fails; the last line sums the tests of all projects.
import { ensureBrowser } from "./find-browsers.mjs";
import { colors, run, runTests } from "./run-tests.mjs";
import { testBrowser } from "./test-browsers.mjs";

let passed = 0;
let failed = 0;
/** @type {string[]} */
const failedSteps = [];
/** @type {string[]} */
const notRun = [];

/** Whether a step succeeded, or why it was not run, which is neither. @typedef {boolean | { notRun: string }} Outcome */

/**
 * @param {string} title
 * @param {() => Outcome | Promise<Outcome>} work
 */
async function step(title, work) {
  console.log(`\n=== ${title}`);
  const start = performance.now();
  /** @type {Outcome} */
  let outcome = false;
  try {
    outcome = await work();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
  }
  const said = typeof outcome === "object" ? `not run: ${outcome.notRun}` : outcome ? "ok" : "FAILED";
  console.log(`=== ${title}: ${said} in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  if (outcome === false) failedSteps.push(title);
  if (typeof outcome === "object") notRun.push(`${title}: not run: ${outcome.notRun}`);
}

/** @param {{ ok: boolean, passed: number, failed: number }} result */
function count(result) {
  passed += result.passed;
  failed += result.failed;
  return result.ok;
}

/** @param {string} project */
const test = (project) => count(runTests(project));

/** Where its browser can be had. @param {"firefox" | "webkit"} engine */
async function testWherePossible(engine) {
  const result = await testBrowser(engine);
  return "notRun" in result ? result : count(result);
}

await step("types", () => run(process.execPath, ["scripts/typecheck.mjs"]));
await step("lint", () => run("biome", ["ci", "--error-on-warnings", `--colors=${colors ? "force" : "off"}`, "."]));
await step("declarations", () => run(process.execPath, ["scripts/declarations.mjs"]));
await step("deployable", () => run(process.execPath, ["scripts/deployable.mjs"]));
await step("bundle size", () => run(process.execPath, ["bench/size/guard.ts"]));
await step("core tests (Node)", () => test("core"));
await step("browser tests (Chromium)", async () => {
  await ensureBrowser("chromium");
  return test("browser");
});
await step("edge tests (workerd)", () => test("edge"));
await step("end-to-end and fault tests", async () => {
  await ensureBrowser("chromium");
  return test("e2e");
});
await step("browser tests (Firefox)", () => testWherePossible("firefox"));
await step("browser tests (WebKit)", () => testWherePossible("webkit"));

console.log(["", ...notRun].join("\n"));
console.log(
  failedSteps.length > 0
    ? `Failed: ${failedSteps.join(", ")}`
    : notRun.length > 0
      ? "All other steps succeeded."
      : "All steps succeeded.",
);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failedSteps.length > 0 ? 1 : 0;
