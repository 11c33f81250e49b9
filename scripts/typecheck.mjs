// Runs tsc over every tsconfig.json of the repository; each folder is checked against the globals of its platform.
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { SOURCES } from "./sources.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const projects = globSync(
  [
    "tsconfig.json",
    "{packages,apps,templates}/*/tsconfig.json",
    "apps/*/tsconfig.*.json",
    "{test,bench}/tsconfig.json",
    "test/*/tsconfig.json",
    "bench/*/{,*/}tsconfig.json",
  ],
  {
    cwd: root,
  },
).sort();

/**
 * @param {string} project
 * @returns {Promise<boolean>} true if the project has no type errors
 */
function check(project) {
  return new Promise((resolve) => {
    // A template is configured as it is copied from here, so without the condition that leads to the sources.
    const conditions = project.startsWith("templates/") ? ["--customConditions", SOURCES] : [];
    const tsc = spawn("tsc", ["-p", project, "--pretty", String(process.stdout.isTTY === true), ...conditions], {
      cwd: root,
      shell: process.platform === "win32",
    });
    let output = "";
    tsc.stdout.on("data", (chunk) => (output += chunk));
    tsc.stderr.on("data", (chunk) => (output += chunk));
    tsc.on("error", (error) => (output += error.message));
    tsc.on("close", (code) => {
      console.log(`${code === 0 ? "ok    " : "FAILED"} ${project}`);
      if (output.trim()) console.log(output.trimEnd());
      resolve(code === 0);
    });
  });
}

let failed = 0;
const waiting = [...projects];
async function next() {
  for (let project = waiting.shift(); project !== undefined; project = waiting.shift()) {
    if (!(await check(project))) failed++;
  }
}
await Promise.all(Array.from({ length: Math.min(availableParallelism(), 4) }, next));
if (failed > 0) {
  console.log(`${failed} of ${projects.length} projects have type errors`);
  process.exitCode = 1;
}
