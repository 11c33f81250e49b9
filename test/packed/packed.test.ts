import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { build, preview } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchOptions } from "../support/chromium.ts";
import { ROOT, run, runNode } from "./support/commands.ts";
import { filesOf, type Packed, type Packer, packAll, packAlone, readmeCode } from "./support/pack.ts";
import { COMPILERS, Project, RESOLUTIONS } from "./support/project.ts";
import { type DevServer, wranglerDev } from "./support/wrangler-dev.ts";

const NODE_20 = fileURLToPath(new URL("../node-20/node_modules/nodejs/bin/node", import.meta.url));
const WRANGLER = createRequire(import.meta.url)
  .resolve("wrangler/package.json")
  .replace("package.json", "bin/wrangler.js");
const HTTP_SCRIPT = fileURLToPath(new URL("./projects/page/src/http.ts", import.meta.url));
const bin = (name: string) => join(ROOT, "node_modules/.bin", name);

let folder: string;
let packed: Record<Packer, readonly Packed[]>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quayside-packed-"));
  packed = await packAll(folder);
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));

const digests = async (from: Packed) => {
  const files = (await filesOf(from)).filter((path) => path !== "package.json");
  return files.map((path) => [
    path,
    createHash("sha256")
      .update(readFileSync(join(from.folder, path)))
      .digest("hex"),
  ]);
};

describe("the packed packages", () => {
  it("are the same by npm and by pnpm", async () => {
    for (const [index, byNpm] of packed.npm.entries()) {
      const byPnpm = packed.pnpm[index] as Packed;
      expect(await digests(byPnpm)).toEqual(await digests(byNpm));
      // pnpm leaves out scripts that serve to publish.
      expect({ ...byPnpm.manifest, scripts: null }).toEqual({ ...byNpm.manifest, scripts: null });
    }
  });

  it("are built by npm pack alone", async () => {
    const core = packed.npm.find(({ name }) => name === "@quayside/core") as Packed;
    expect(await digests(await packAlone("core", join(folder, "alone")))).toEqual(await digests(core));
  });

  it("hold what their manifests name, with README, CHANGELOG and LICENSE, and the sources that the maps name", async () => {
    for (const each of packed.npm) {
      const files = new Set(await filesOf(each));
      const named = Object.values(each.manifest.exports).flatMap((conditions) => Object.values(conditions));
      const wanted = [...named.map((path) => path.slice(2)), "README.md", "CHANGELOG.md", "LICENSE"];
      expect(wanted.filter((path) => !files.has(path))).toEqual([]);
      const maps = [...files].filter((path) => path.endsWith(".map"));
      expect(maps.length).toBeGreaterThan(10);
      const sources = maps.flatMap((path) => {
        const { sources } = JSON.parse(readFileSync(join(each.folder, path), "utf8")) as { sources: string[] };
        return sources.map((source) => join(path, "..", source));
      });
      expect(sources.filter((path) => !files.has(path))).toEqual([]);
    }
  });

  it("depend on versions that npm reads, and on those that the workspace is tested with", async () => {
    const catalog = catalogOf(await readFile(join(ROOT, "pnpm-workspace.yaml"), "utf8"));
    for (const path of [...packed.npm.map(({ folder }) => folder), join(ROOT, "templates/worker")]) {
      const manifest = JSON.parse(await readFile(join(path, "package.json"), "utf8"));
      const ranges = Object.entries<string>({ ...manifest.dependencies, ...manifest.devDependencies });
      expect(ranges.filter(([, range]) => !/^[\^~]?\d/.test(range))).toEqual([]);
      const apart = ranges.filter(([name, range]) => catalog[name] && catalog[name] !== range.replace("^", ""));
      expect(apart).toEqual([]);
    }
  });

  it("pass publint --strict and attw", async () => {
    for (const { file } of packed.npm) {
      await run(bin("publint"), ["--strict", file], folder);
      await run(bin("attw"), ["--profile", "esm-only", file], folder);
    }
  });
});

/** Versions of the catalog, without their caret. */
function catalogOf(workspace: string): Record<string, string> {
  const [, block = ""] = /^catalog:\n((?: .*\n)+)/m.exec(workspace) ?? [];
  const lines = block.matchAll(/^ {2}"?([^":]+)"?: \^?(\S+)$/gm);
  return Object.fromEntries([...lines].map(([, name, version]) => [name, version]));
}

const nightly = process.env["QUAYSIDE_ALL"] !== undefined;
/** Both packers' files are the same, as the first case shows: the check installs those of one. */
const PACKERS: readonly Packer[] = nightly ? ["npm", "pnpm"] : ["npm"];
/** The older compiler takes five times as long: the check runs it with the stricter resolution alone. */
const COMBINATIONS = COMPILERS.flatMap((compiler) =>
  RESOLUTIONS.map((resolution) => [compiler, resolution] as const),
).filter(([compiler, resolution]) => nightly || compiler === "typescript" || resolution === "nodenext");

describe.each(PACKERS)("a project outside of the workspace that installs the packages by %s", (packer) => {
  const packages = (...names: string[]) =>
    names.map((name) => packed[packer].find((each) => each.name === `@quayside/${name}`) as Packed);
  const install = (from: string, ...names: string[]) =>
    Project.install(from, join(folder, `${packer}-${from.replace("/", "-")}`), packages(...names));

  async function compile(project: Project, lib: readonly string[], types: readonly string[]): Promise<void> {
    for (const [compiler, resolution] of COMBINATIONS) await project.compile(compiler, resolution, lib, types);
  }

  it("is a script of Node 20 and of Node 24: the code of two READMEs, and every entry point", async () => {
    const project = await install("node", "core", "testing", "edge");
    const [core, testing, edge] = packages("core", "testing", "edge") as [Packed, Packed, Packed];
    await project.write("src/core.ts", await readmeCode(core, "ts"));
    await project.write("src/testing.ts", await readmeCode(testing, "ts"));
    await project.write("src/http.ts", await readFile(HTTP_SCRIPT, "utf8"));
    // Its root needs the runtime of Cloudflare.
    await project.writeEveryImport([core, testing, edge], ["@quayside/edge", "@quayside/edge/engine"]);
    await compile(project, [], ["node"]);
    for (const runtime of [NODE_20, process.execPath]) {
      expect(await runNode(["out/core.js"], project.folder, runtime)).toBe("cat.jpg is 800 pixels wide");
      expect(await runNode(["out/testing.js"], project.folder, runtime)).toBe("0\n1");
      expect(await runNode(["out/http.js"], project.folder, runtime)).toBe("exchange 1 is answered");
      await runNode(["out/every.js"], project.folder, runtime);
    }
  });

  it("is a page that Vite builds, in Chromium: the code of the browser package's README, the hooks of React, and httpDriver", async () => {
    const project = await install("page", "core", "browser");
    const [core, browser] = packages("core", "browser") as [Packed, Packed];
    // What the edge depends on, and httpDriver does not.
    const installed = ["hono", "jose", "zod"].filter((name) => existsSync(join(project.folder, "node_modules", name)));
    expect(installed).toEqual([]);
    await project.write("src/readme.ts", await readmeCode(browser, "ts"));
    await project.writeEveryImport([core, browser]);
    await compile(project, ["DOM", "DOM.Iterable"], ["react"]);
    const config = { root: project.folder, configFile: false, logLevel: "error" } as const;
    await build(config);
    const server = await preview({ ...config, preview: { host: "127.0.0.1", port: 0 } });
    const chrome = await chromium.launch(await launchOptions());
    try {
      const page = await chrome.newPage();
      const answered = page.waitForEvent("console", (message) => message.text() === "exchange 1 is answered");
      await page.goto(server.resolvedUrls?.local[0] as string);
      await page.getByText("cat.jpg is 800 pixels wide.").waitFor();
      await page.getByText("2 jobs are waiting").waitFor();
      await answered;
    } finally {
      await chrome.close();
      await server.close();
    }
  });

  it("is a Worker in workerd: the code of the edge package's README", async () => {
    const project = await install("worker", "core", "edge");
    const [core, edge] = packages("core", "edge") as [Packed, Packed];
    await project.write("src/index.ts", await readmeCode(edge, "ts"));
    await project.write("wrangler.jsonc", await readmeCode(edge, "jsonc"));
    await project.writeEveryImport([core, edge]);
    await compile(project, [], ["@cloudflare/workers-types"]);
    const server = await wranglerDev(WRANGLER, project.folder);
    await done(server, "dev-token", { to: "ada@example.com" });
  });

  it("is the template of a Worker, copied and started as its README says", async () => {
    const project = await install("templates/worker", "core", "edge");
    await project.write(".dev.vars", await readFile(join(project.folder, ".dev.vars.example"), "utf8"));
    await run("npm", ["run", "typecheck"], project.folder);
    const server = await wranglerDev(join(project.folder, "node_modules/wrangler/bin/wrangler.js"), project.folder);
    await done(server, "dev-token", { to: "ada@example.com", subject: "Hi", body: "Hello" });
  });
});

/** Adds an email over HTTP, sees it completed, and ends the server. */
async function done(server: DevServer, token: string, payload: object): Promise<void> {
  const jobs = `${server.url}/api/queues/mail/jobs`;
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  try {
    const added = await fetch(jobs, { method: "POST", headers, body: JSON.stringify({ name: "email", payload }) });
    expect(added.status).toBe(201);
    const { id } = (await added.json()) as { id: string };
    await expect
      .poll(async () => (await fetch(`${jobs}/${id}`, { headers })).json(), { timeout: 30_000 })
      .toMatchObject({ state: "completed" });
  } finally {
    await server.close();
  }
}
