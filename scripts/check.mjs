// Everything that must hold before a change goes in: types, lint, then the tests of every project.
// All steps run, whatever fails; the last line sums the tests of all projects.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureBrowser } from "./find-browsers.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const resultsFolder = join(root, "test-results");
const colors = process.stdout.isTTY && !process.env.NO_COLOR;
const env = {
  ...process.env,
  ...(!colors && { NO_COLOR: "1", FORCE_COLOR: undefined }),
  PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}`,
};

let passed = 0;
let failed = 0;
/** @type {string[]} */
const failedSteps = [];

/**
 * @param {string} title
 * @param {() => boolean | Promise<boolean>} work answers whether the step succeeded
 */
async function step(title, work) {
  console.log(`\n=== ${title}`);
  const start = performance.now();
  let ok = false;
  try {
    ok = await work();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
  }
  console.log(`=== ${title}: ${ok ? "ok" : "FAILED"} in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  if (!ok) failedSteps.push(title);
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 */
function run(command, args) {
  return (
    spawnSync(command, args, { cwd: root, env, stdio: "inherit", shell: process.platform === "win32" }).status === 0
  );
}

/** @param {string} project */
function test(project) {
  const results = join(resultsFolder, `${project}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${results}`];
  const ok = run("vitest", ["run", "--project", project, "--passWithNoTests", ...reporters]);
  const counts = countTests(results);
  passed += counts.passed;
  failed += ok ? counts.failed : Math.max(counts.failed, 1);
  return ok;
}

/**
 * A file that fails as a whole (it does not load, say) has no failed test in it: count it as one.
 * @param {string} results
 * @returns {{ passed: number, failed: number }}
 */
function countTests(results) {
  try {
    const report = JSON.parse(readFileSync(results, "utf8"));
    /** @type {{ status: string, assertionResults: { status: string }[] }[]} */
    const files = report.testResults;
    const brokenFiles = files.filter(
      (file) => file.status === "failed" && !file.assertionResults.some((result) => result.status === "failed"),
    );
    return { passed: report.numPassedTests, failed: report.numFailedTests + brokenFiles.length };
  } catch {
    return { passed: 0, failed: 0 };
  }
}

rmSync(resultsFolder, { recursive: true, force: true });
mkdirSync(resultsFolder, { recursive: true });

await step("types", () => run(process.execPath, ["scripts/typecheck.mjs"]));
await step("lint", () => run("biome", ["ci", "--error-on-warnings", `--colors=${colors ? "force" : "off"}`, "."]));
await step("declarations", () => run(process.execPath, ["scripts/declarations.mjs"]));
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

console.log(failedSteps.length > 0 ? `\nFailed: ${failedSteps.join(", ")}` : "\nAll steps succeeded.");
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failedSteps.length > 0 ? 1 : 0;
