import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Variables that lead to the sources of the workspace, or that say who started this process. */
const OF_THE_WORKSPACE =
  /^(NODE_OPTIONS|NODE_ENV|NODE_PATH|VITEST|WRANGLER_BUILD_|npm_(package|lifecycle)_|npm_config_local_prefix)/;

/** The environment of a user outside of this workspace. */
export const BARE: NodeJS.ProcessEnv = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !OF_THE_WORKSPACE.test(name))),
  CI: "1",
  NO_COLOR: "1",
  WRANGLER_SEND_METRICS: "false",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
};

/** Runs a command in a bare environment; resolves with all it printed. Rejects with that when it fails. */
export function run(command: string, args: readonly string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: BARE, stdio: ["ignore", "pipe", "pipe"] });
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (printed += chunk));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(printed.trim());
      else reject(new Error(`${command} ${args.join(" ")} in ${cwd}:\n${printed}`));
    });
  });
}

/** Runs a file of Node's own version, of `runtime` if that is given. */
export const runNode = (args: readonly string[], cwd: string, runtime = process.execPath) => run(runtime, args, cwd);

const { scripts } = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8")) as { scripts: { test: string } };
/** The version of pnpm that the commands of this repository name. */
const PNPM = /pnpm@[\d.]+/.exec(scripts.test)?.[0] as string;

export const pnpm = (args: readonly string[], cwd: string) => run("npx", ["-y", PNPM, ...args], cwd);
