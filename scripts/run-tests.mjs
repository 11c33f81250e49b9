// Runs commands and Vitest projects for the scripts that check everything, and counts the tests.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const resultsFolder = join(root, "test-results");
export const colors = process.stdout.isTTY && !process.env.NO_COLOR;
const env = {
  ...process.env,
  ...(!colors && { NO_COLOR: "1", FORCE_COLOR: undefined }),
  PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}`,
};

/**
 * @param {string} command
 * @param {readonly string[]} args
 */
export function run(command, args) {
  return (
    spawnSync(command, args, { cwd: root, env, stdio: "inherit", shell: process.platform === "win32" }).status === 0
  );
}

/**
 * A run that fails as a whole has at least one failure.
 * @param {string} project
 * @returns {{ ok: boolean, passed: number, failed: number }}
 */
export function runTests(project) {
  const results = join(resultsFolder, `${project}.json`);
  rmSync(results, { force: true });
  mkdirSync(resultsFolder, { recursive: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${results}`];
  const ok = run("vitest", ["run", "--project", project, "--passWithNoTests", ...reporters]);
  const { passed, failed } = countTests(results);
  return { ok, passed, failed: ok ? failed : Math.max(failed, 1) };
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
