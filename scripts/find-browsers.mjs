// Finds the browsers to test with, and installs those that are not there.
//
//   node scripts/find-browsers.mjs [--find] [chromium | firefox | webkit …]
//
// Prints the path of each (Chromium alone, unless told otherwise); --find only looks.
// Set CHROMIUM_PATH, FIREFOX_PATH or WEBKIT_PATH to use a browser of your own.
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, globSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** @typedef {"chromium" | "firefox" | "webkit"} Engine */

/**
 * @typedef {object} Browser
 * @property {string} variable names the environment variable that says which executable to use
 * @property {() => (string | undefined)[] | Promise<(string | undefined)[]>} places where its executable may be
 * @property {string[]} [alsoNeeds] programs that have to be on the PATH as well
 * @property {string[]} packages of Debian and Ubuntu, that bring it
 * @property {string} wanted what to install, in words
 * @property {number} downloadTimeLimitMs for its packages: long for the one browser that the tests cannot do without
 */

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

const folders = [
  ...(process.env.PATH ?? "").split(delimiter).filter(Boolean),
  "/usr/bin",
  "/usr/local/bin",
  "/snap/bin",
];

/** @param {string[]} names */
const onPath = (...names) => names.flatMap((name) => folders.map((folder) => join(folder, name)));

/** @param {string[]} names of an app, and after a slash of its executable where that is called otherwise */
const macApps = (...names) =>
  ["/Applications", join(homedir(), "Applications")].flatMap((folder) =>
    names.map((name) => {
      const [app, executable = app] = name.split("/");
      return join(folder, `${app}.app/Contents/MacOS/${executable}`);
    }),
  );

/** @param {string[]} paths below the folders of programs */
const windowsPrograms = (...paths) =>
  ["PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"]
    .map((name) => process.env[name])
    .filter((folder) => folder !== undefined)
    .flatMap((folder) => paths.map((path) => join(folder, path)));

/** @type {Readonly<Record<Engine, Browser>>} */
const BROWSERS = {
  chromium: {
    variable: "CHROMIUM_PATH",
    async places() {
      if (process.platform === "darwin") {
        return [...macApps("Google Chrome", "Chromium", "Microsoft Edge"), await playwrightManaged()];
      }
      if (process.platform === "win32") {
        const programs = [
          "Google/Chrome/Application/chrome.exe",
          "Chromium/Application/chrome.exe",
          "Microsoft/Edge/Application/msedge.exe",
        ];
        return [...windowsPrograms(...programs), await playwrightManaged()];
      }
      const names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "microsoft-edge"];
      return [...onPath(...names), "/opt/google/chrome/chrome", await playwrightManaged()];
    },
    packages: ["chromium"],
    wanted: "Google Chrome or Chromium (also: npx playwright install --with-deps chromium)",
    downloadTimeLimitMs: PACKAGES_TIME_LIMIT_MS,
  },
  firefox: {
    variable: "FIREFOX_PATH",
    places() {
      if (process.platform === "darwin") return macApps("Firefox/firefox");
      if (process.platform === "win32") return windowsPrograms("Mozilla Firefox/firefox.exe");
      return onPath("firefox-esr", "firefox");
    },
    packages: ["firefox-esr"],
    wanted: "Firefox",
    downloadTimeLimitMs: 120_000,
  },
  webkit: {
    variable: "WEBKIT_PATH",
    // The small browser that WebKitGTK brings along; it has to be shown on a screen.
    places: () => globSync("/usr/{lib,lib64,libexec,lib/*}/webkit2gtk-4.1/MiniBrowser"),
    alsoNeeds: ["Xvfb"],
    packages: ["libwebkit2gtk-4.1-0", "xvfb"],
    wanted: "WebKitGTK's MiniBrowser and Xvfb (Linux)",
    downloadTimeLimitMs: 120_000,
  },
};

export const ENGINES = /** @type {Engine[]} */ (Object.keys(BROWSERS));

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

async function playwrightManaged() {
  try {
    const { chromium } = await import("playwright");
    return chromium.executablePath();
  } catch {
    return undefined;
  }
}

/**
 * Looks for an installed browser; installs nothing.
 * @param {Engine} engine
 * @returns {Promise<string | undefined>} the path of the executable
 */
export async function findBrowser(engine) {
  const { variable, places, alsoNeeds = [] } = BROWSERS[engine];
  if (!alsoNeeds.every((program) => onPath(program).some(isExecutable))) return undefined;
  const chosen = process.env[variable];
  if (!chosen) return (await places()).find(isExecutable);
  if (isExecutable(chosen)) return chosen;
  throw new Error(`${variable} is ${chosen}, which is not an executable file.`);
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

/**
 * Playwright's Chromium; its builds of the other engines are not those that people use.
 * Downloads first and asks for system packages after, so that no package installation is ever cut off half-way.
 */
async function installWithPlaywright() {
  const cli = join(root, "node_modules/playwright/cli.js");
  const downloaded = await run(process.execPath, [cli, "install", "--no-shell", "chromium"], DOWNLOAD_TIME_LIMIT_MS);
  if (downloaded && mayUseApt()) {
    await run(process.execPath, [cli, "install-deps", "chromium"], PACKAGES_TIME_LIMIT_MS);
  }
}

/** @type {Promise<boolean> | undefined} */
let listsUpdated;

/** @param {Browser} browser */
async function installWithApt({ packages, downloadTimeLimitMs }) {
  if (!mayUseApt()) return;
  listsUpdated ??= run("apt-get", ["update"], downloadTimeLimitMs);
  await listsUpdated;
  const install = ["install", "-y", "--no-install-recommends", ...packages];
  // A download may be cut off, an installation may not.
  const downloaded = await run("apt-get", [...install, "--download-only"], downloadTimeLimitMs);
  if (downloaded) await run("apt-get", install, PACKAGES_TIME_LIMIT_MS);
}

/**
 * A downloaded browser may lack libraries of the system. WebKit's would need a screen to say its version.
 * @param {Engine} engine
 * @param {string} path
 */
function starts(engine, path) {
  if (engine === "webkit" || process.platform === "win32") return true;
  return spawnSync(path, ["--version"], { stdio: "ignore", timeout: 30_000 }).status === 0;
}

/**
 * Finds a browser or installs one: Chromium first as Playwright's own, then, as the others, as the system's package.
 * @param {Engine} engine
 * @returns {Promise<string>} the path of the executable
 */
export async function ensureBrowser(engine) {
  const found = await findBrowser(engine);
  if (found) return found;
  const { packages, variable, wanted } = BROWSERS[engine];
  console.error(`No browser found for ${engine}. Trying to install one for the browser tests.`);
  const installers = [() => installWithApt(BROWSERS[engine])];
  if (engine === "chromium") installers.unshift(installWithPlaywright);
  for (const install of installers) {
    await install();
    const installed = await findBrowser(engine);
    if (installed && starts(engine, installed)) return installed;
  }
  throw new Error(
    [
      `No browser was found for ${engine}, and none could be installed. Any one of these helps:`,
      `  - install ${wanted}`,
      `  - Debian, Ubuntu: sudo apt-get install ${packages.join(" ")}`,
      `  - set ${variable} to its executable`,
    ].join("\n"),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const onlyLook = process.argv.includes("--find");
  const named = ENGINES.filter((engine) => process.argv.includes(engine));
  for (const engine of named.length > 0 ? named : ENGINES.slice(0, 1)) {
    try {
      const path = onlyLook ? await findBrowser(engine) : await ensureBrowser(engine);
      if (path) console.log(path);
      else process.exitCode = 1;
    } catch (error) {
      console.error(error instanceof Error ? error.message : error);
      process.exitCode = 1;
    }
  }
}
