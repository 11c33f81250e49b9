// Runs commands and Vitest projects for the scripts that check everything, and counts the tests.
import { spawn } from "node:child_process";
import { accessSync, constants, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { FROM_SOURCES } from "./sources.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const resultsFolder = join(root, "test-results");
export const colors = process.stdout.isTTY && !process.env.NO_COLOR;
const env = {
  ...process.env,
  ...FROM_SOURCES,
  ...(!colors && { NO_COLOR: "1", FORCE_COLOR: undefined }),
  PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}`,
};

/** Takes what a command prints, when it has ended. Absent: it prints by itself, as it goes. @typedef {(text: string) => void} Print */

/** A step takes under 7 minutes in the check on two cores, and under 60 in the nightly run. */
const LIMIT_MINUTES = process.env.QUAYSIDE_ALL ? 150 : 15;
/** For output that is still on its way when a command has ended. */
const GRACE_MS = 5_000;

/**
 * Runs a command and returns whether it succeeded. A command that takes longer than `LIMIT_MINUTES` is killed and has
 * failed. Processes that it leaves behind are killed too: one of them that holds the output open would otherwise keep
 * the check waiting.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {Print} [print]
 * @param {Record<string, string>} [more] of the environment
 * @returns {Promise<boolean>}
 */
export function run(command, args, print, more) {
  return new Promise((resolve, reject) => {
    const windows = process.platform === "win32";
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env, ...more },
      stdio: print ? ["ignore", "pipe", "pipe"] : "inherit",
      shell: windows,
      // A process group of its own, which can be killed as a whole.
      detached: !windows,
    });
    const killGroup = () => {
      try {
        if (child.pid !== undefined) process.kill(windows ? child.pid : -child.pid, "SIGKILL");
      } catch {
        // All have ended.
      }
    };
    /** @type {Buffer[]} */
    const printed = [];
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => printed.push(chunk));
    const limit = setTimeout(() => {
      printed.push(Buffer.from(`\nKilled: not done after ${LIMIT_MINUTES} minutes.\n`));
      if (!print) console.error(`Killed: not done after ${LIMIT_MINUTES} minutes.`);
      killGroup();
    }, LIMIT_MINUTES * 60_000);
    const interrupt = () => {
      killGroup();
      process.exit(130);
    };
    process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
    let ended = false;
    const end = (/** @type {number | null} */ code) => {
      if (ended) return;
      ended = true;
      process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
      child.stdout?.destroy();
      child.stderr?.destroy();
      print?.(Buffer.concat(printed).toString());
      resolve(code === 0);
    };
    child.on("error", (error) => {
      clearTimeout(limit);
      reject(error);
    });
    child.on("exit", (code) => {
      clearTimeout(limit);
      killGroup();
      const late = setTimeout(() => end(code), GRACE_MS);
      child.on("close", () => {
        clearTimeout(late);
        end(code);
      });
    });
  });
}

/**
 * A run that fails as a whole has at least one failure.
 *
 * @param {string} project
 * @param {Print} [print]
 * @returns {Promise<{ ok: boolean, passed: number, failed: number }>}
 */
export async function runTests(project, print) {
  const results = join(resultsFolder, `${project}.json`);
  rmSync(results, { force: true });
  mkdirSync(resultsFolder, { recursive: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${results}`];
  const folder = IN_WORKERD.has(project) ? folderInMemory() : undefined;
  try {
    const args = ["run", "--project", project, "--passWithNoTests", ...reporters];
    const ok = await run("vitest", args, print, folder === undefined ? {} : { TMPDIR: folder });
    const { passed, failed } = countTests(results);
    return { ok, passed, failed: ok ? failed : Math.max(failed, 1) };
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The projects whose time goes into thousands of objects in a local Workers runtime. */
const IN_WORKERD = new Set(["edge", "server"]);
/** Linux keeps in memory what lies here. */
const MEMORY = "/dev/shm";
/** Their databases take less than a tenth of it. */
const MEMORY_BYTES = 4 * 2 ** 30;

/**
 * A folder in memory for the databases of objects, where there is room: each commit waits for the disk, and the tests
 * commit tens of thousands of times. For a process that is killed it is the same: what it wrote is there either way.
 *
 * @returns {string | undefined}
 */
function folderInMemory() {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    accessSync(MEMORY, constants.W_OK);
    return bavail * bsize < MEMORY_BYTES ? undefined : mkdtempSync(join(MEMORY, "quayside-"));
  } catch {
    return undefined;
  }
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
