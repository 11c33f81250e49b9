// Finds a Redis server, and installs one where there is none and apt-get may be used.
//
//   node bench/edge/find-redis.ts           prints the path, installing a server if it must
//   node bench/edge/find-redis.ts --find    only looks
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const TIME_LIMIT_MS = 600_000;
/** Valkey is Redis under another name. */
const NAMES = ["redis-server", "valkey-server"];

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function findRedis(): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter).filter(Boolean), "/usr/bin", "/usr/local/bin"];
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
}

/** Its output goes to stderr: stdout carries the path alone. */
function run(command: string, args: readonly string[]): Promise<boolean> {
  console.error(`$ ${command} ${args.join(" ")}`);
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ["ignore", 2, 2],
      timeout: TIME_LIMIT_MS,
      // The package starts its server where it can: the benchmark starts its own.
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
    });
    child.on("error", () => resolve(false));
    child.on("exit", (code) => resolve(code === 0));
  });
}

/** The path of a Redis server; undefined where none is and none can be installed. */
export async function ensureRedis(): Promise<string | undefined> {
  const found = findRedis();
  if (found) return found;
  if (process.platform !== "linux" || process.getuid?.() !== 0 || !isExecutable("/usr/bin/apt-get")) return undefined;
  console.error("No Redis server found. Trying to install one to measure BullMQ on.");
  await run("apt-get", ["update"]);
  await run("apt-get", ["install", "-y", "--no-install-recommends", "redis-server"]);
  return findRedis();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = process.argv.includes("--find") ? findRedis() : await ensureRedis();
  if (path) console.log(path);
  else {
    console.error("No Redis server was found. Debian, Ubuntu: sudo apt-get install redis-server");
    process.exitCode = 1;
  }
}
