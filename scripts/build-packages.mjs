// Builds the packages, all at once.
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Folders of the packages that are published, from the root: `packages/core`. */
export const packages = globSync("packages/*/tsdown.config.ts", { cwd: root }).map(dirname).sort();

/** Builds each package into its `dist`. Rejects with the output of the first that fails. */
export async function buildPackages() {
  await Promise.all(packages.map(build));
}

/** @param {string} folder @returns {Promise<void>} */
function build(folder) {
  return new Promise((resolve, reject) => {
    const options = { cwd: join(root, folder), shell: process.platform === "win32" };
    const child = spawn(join(root, "node_modules/.bin/tsdown"), ["--logLevel", "error"], options);
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (printed += chunk));
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`${folder} does not build:\n${printed}`))));
  });
}
