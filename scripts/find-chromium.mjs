// Finds a Chromium to test with, and installs one where there is none.
//
//   node scripts/find-chromium.mjs           prints the path, installing a browser if it must
//   node scripts/find-chromium.mjs --find    only looks
//
// Set CHROMIUM_PATH to use a browser of your own.
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Start flags for a quiet headless browser, also as root in a container. */
export const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const DOWNLOAD_TIME_LIMIT_MS = 60_000;
const PACKAGES_TIME_LIMIT_MS = 600_000;

/** @param {string | undefined} path */
function isExecutable(path) {
  if (!path) return false;
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function usualPlaces() {
  if (process.platform === "darwin") {
    return ["/Applications", join(homedir(), "Applications")].flatMap((folder) =>
      ["Google Chrome", "Chromium", "Microsoft Edge"].map((name) => join(folder, `${name}.app/Contents/MacOS/${name}`)),
    );
  }
  if (process.platform === "win32") {
    return ["PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"]
      .map((name) => process.env[name])
      .filter((folder) => folder !== undefined)
      .flatMap((folder) => [
        join(folder, "Google/Chrome/Application/chrome.exe"),
        join(folder, "Chromium/Application/chrome.exe"),
        join(folder, "Microsoft/Edge/Application/msedge.exe"),
      ]);
  }
  const names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "microsoft-edge"];
  const folders = [
    ...(process.env.PATH ?? "").split(delimiter).filter(Boolean),
    "/usr/bin",
    "/usr/local/bin",
    "/snap/bin",
  ];
  return [...names.flatMap((name) => folders.map((folder) => join(folder, name))), "/opt/google/chrome/chrome"];
}

async function playwrightManaged() {
  try {
    const { chromium } = await import("playwright");
    return chromium.executablePath();
  } catch {
    return undefined;
  }
}

/**
 * Looks for an installed Chromium; installs nothing.
 * @returns {Promise<string | undefined>} the path of the executable
 */
export async function findChromium() {
  const chosen = process.env.CHROMIUM_PATH;
  if (chosen) {
    if (isExecutable(chosen)) return chosen;
    throw new Error(`CHROMIUM_PATH is ${chosen}, which is not an executable file.`);
  }
  return usualPlaces().find(isExecutable) ?? [await playwrightManaged()].find(isExecutable);
}

/**
 * Runs a command for at most the time limit. Its output goes to stderr: stdout carries the path alone.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {number} timeLimitMs
 * @returns {Promise<boolean>} true if it succeeded
 */
function run(command, args, timeLimitMs) {
  console.error(`$ ${command} ${args.join(" ")}`);
  return new Promise((resolve) => {
    const ownGroup = process.platform !== "win32";
    const child = spawn(command, args, {
      cwd: root,
      stdio: ["ignore", 2, 2],
      detached: ownGroup,
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
    const timer = setTimeout(() => {
      console.error(`  gave up after ${timeLimitMs / 1000} s`);
      // The whole group: a download runs in a process of its own.
      if (ownGroup && child.pid) process.kill(-child.pid, "SIGKILL");
      else child.kill("SIGKILL");
    }, timeLimitMs);
    child.on("error", (error) => {
      clearTimeout(timer);
      console.error(`  ${error.message}`);
      resolve(false);
    });
    child.on("exit", (code) => {
      clearTimeout(timer);
      resolve(code === 0);
    });
  });
}

const mayUseApt = () => process.platform === "linux" && process.getuid?.() === 0 && isExecutable("/usr/bin/apt-get");

/** Downloads first and asks for system packages after, so that no package installation is ever cut off half-way. */
async function installWithPlaywright() {
  const cli = join(root, "node_modules/playwright/cli.js");
  const downloaded = await run(process.execPath, [cli, "install", "--no-shell", "chromium"], DOWNLOAD_TIME_LIMIT_MS);
  if (downloaded && mayUseApt()) {
    await run(process.execPath, [cli, "install-deps", "chromium"], PACKAGES_TIME_LIMIT_MS);
  }
}

async function installWithApt() {
  if (!mayUseApt()) return;
  await run("apt-get", ["update"], PACKAGES_TIME_LIMIT_MS);
  await run("apt-get", ["install", "-y", "--no-install-recommends", "chromium"], PACKAGES_TIME_LIMIT_MS);
}

/** A downloaded browser may lack libraries of the system. @param {string} path */
function starts(path) {
  return (
    process.platform === "win32" || spawnSync(path, ["--version"], { stdio: "ignore", timeout: 30_000 }).status === 0
  );
}

/**
 * Finds a Chromium or installs one: first Playwright's own, then the system package.
 * @returns {Promise<string>} the path of the executable
 */
export async function ensureChromium() {
  const found = await findChromium();
  if (found) return found;
  console.error("No Chrome or Chromium found. Trying to install one for the browser tests.");
  for (const install of [installWithPlaywright, installWithApt]) {
    await install();
    const installed = await findChromium();
    if (installed && starts(installed)) return installed;
  }
  throw new Error(
    [
      "No Chrome or Chromium was found, and none could be installed. Any one of these helps:",
      "  - install Google Chrome or Chromium (Debian, Ubuntu: sudo apt-get install chromium)",
      "  - npx playwright install --with-deps chromium",
      "  - set CHROMIUM_PATH to the executable of a Chrome or Chromium",
    ].join("\n"),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const path = process.argv.includes("--find") ? await findChromium() : await ensureChromium();
    if (path) console.log(path);
    else process.exitCode = 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
