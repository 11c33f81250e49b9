// Everything that must hold before a change goes in: types, lint, then the tests of every project.
// All steps run, whatever fails; the last line sums the tests of all projects.
import { ENGINES, ensureBrowser } from "./find-browsers.mjs";
import { colors, run, runTests } from "./run-tests.mjs";
import { testBrowser } from "./test-browsers.mjs";

/** @typedef {import("./run-tests.mjs").Print} Print */

let passed = 0;
let failed = 0;
/** @type {string[]} */
const failedSteps = [];
/** @type {string[]} */
const notRun = [];

/** Whether a step succeeded, or why it was not run, which is neither. @typedef {boolean | { notRun: string }} Outcome */
/** @typedef {{ title: string, work: (print?: Print) => Promise<Outcome> }} Step */

/** @param {Step} step @param {Print} [print] */
async function take({ title, work }, print) {
  console.log(`\n=== ${title}`);
  const start = performance.now();
  /** @type {Outcome} */
  let outcome = false;
  try {
    outcome = await work(print);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
  }
  const said = typeof outcome === "object" ? `not run: ${outcome.notRun}` : outcome ? "ok" : "FAILED";
  console.log(`=== ${title}: ${said} in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  if (outcome === false) failedSteps.push(title);
  if (typeof outcome === "object") notRun.push(`${title}: not run: ${outcome.notRun}`);
}

/** One after the other; each prints as it goes. @param {Iterable<Step>} steps @param {Print} [print] */
async function inOrder(steps, print) {
  for (const step of steps) await take(step, print);
}

/** @param {{ ok: boolean, passed: number, failed: number }} result */
function count(result) {
  passed += result.passed;
  failed += result.failed;
  return result.ok;
}

/** @param {string} title @param {string} project @param {boolean} [inBrowser] @returns {Step} */
const tests = (title, project, inBrowser = false) => ({
  title,
  work: async (print) => {
    if (inBrowser) await ensureBrowser("chromium");
    return count(await runTests(project, print));
  },
});

/** Where its browser can be had. @param {string} title @param {"firefox" | "webkit"} engine @returns {Step} */
const testsWherePossible = (title, engine) => ({
  title,
  work: async (print) => {
    const result = await testBrowser(engine, print);
    return "notRun" in result ? result : count(result);
  },
});

/** @param {string} title @param {string[]} command a script and its arguments @returns {Step} */
const script = (title, ...command) => ({ title, work: () => run(process.execPath, command) });

/** @type {Step} */
const soak = {
  title: "soak",
  work: (print) =>
    run(process.execPath, ["test/soak/run.ts", "--minutes", process.env.QUAYSIDE_ALL ? "30" : "2"], print),
};

await inOrder([
  script("types", "scripts/typecheck.mjs"),
  {
    title: "lint",
    work: () => run("biome", ["ci", "--error-on-warnings", `--colors=${colors ? "force" : "off"}`, "."]),
  },
  script("words", "scripts/lint-words.mjs"),
  script("sizes", "scripts/lint-sizes.mjs"),
  script("optional properties", "scripts/lint-optional.mjs"),
  script("declarations", "scripts/declarations.mjs"),
  script("deployable", "scripts/deployable.mjs"),
  // What the step "declarations" has built.
  script("bundle size", "bench/size/guard.ts", "--built"),
]);
// One at a time, and not by two steps at once. What cannot be had, its step says.
for (const engine of ENGINES) await ensureBrowser(engine).catch(() => {});
// Two at a time, the longest first, so that both end at about the same time: most tests wait more than they compute. What
// a step prints comes when it has ended, so that the two do not mix.
const line = [
  tests("end-to-end and fault tests in Chromium", "e2e", true),
  tests("edge tests (workerd)", "edge"),
  tests("end-to-end and fault tests without a browser", "server"),
  tests("packages as users install them", "packed", true),
  testsWherePossible("browser tests (Firefox)", "firefox"),
  testsWherePossible("browser tests (WebKit)", "webkit"),
  soak,
  tests("browser tests (Chromium)", "browser", true),
  tests("core tests (Node)", "core"),
].values();
await Promise.all([1, 2].map(() => inOrder(line, (text) => console.log(text))));

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
