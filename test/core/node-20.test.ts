import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fromSources } from "../../scripts/sources.mjs";

const pathOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const NODE_20 = pathOf("../node-20/node_modules/nodejs/bin/node");

let folder: string;

/** Bundles a package's entry as it is published, without changes to what it calls. */
async function bundle(entry: string): Promise<string> {
  const output = await build({
    configFile: false,
    logLevel: "silent",
    plugins: [fromSources()],
    build: { write: false, minify: false, target: "esnext", lib: { entry: pathOf(entry), formats: ["es"] } },
  });
  const [first] = Array.isArray(output) ? output : [];
  const file = join(folder, `${entry.replace(/\W+/g, "-")}.mjs`);
  const [chunk, ...others] = first?.output ?? [];
  if (chunk?.type !== "chunk") throw new Error(`${entry} did not bundle.`);
  await writeFile(file, chunk.code);
  // What the entry imports, at once or later.
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  for (const other of others) if (other.type === "chunk") await writeFile(join(folder, other.fileName), other.code);
  return pathToFileURL(file).href;
}

function runInNode20(script: string): unknown {
  const run = spawnSync(NODE_20, ["--input-type=module", "-e", script], { encoding: "utf8", timeout: 20_000 });
  if (run.status !== 0) throw new Error(run.stderr || String(run.error));
  return JSON.parse(run.stdout);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quayside-node-20-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("Node 20", () => {
  it("adds, runs, retries, encrypts and waits for jobs", async () => {
    const core = await bundle("../../packages/core/src/index.ts");
    const ran = runInNode20(`
      import { aesGcm, memoryDriver, Queue } from ${JSON.stringify(core)};
      const queue = new Queue("mail", memoryDriver(), {
        encryption: aesGcm({ keys: { k: new Uint8Array(32) }, current: "k" }),
      });
      queue.on("job:double", ({ n }) => n * 2);
      queue.on("job:twice", (_, ctx) => {
        if (ctx.attempt === 1) throw new Error("first");
        return ctx.attempt;
      });
      const ids = [
        await queue.addJob("double", { n: 2 }),
        await queue.addJob("double", { n: 3 }, { encrypted: true }),
        ...(await queue.addJobs([{ name: "twice", payload: null, maxAttempts: 2, backoff: 0 }])),
      ];
      await queue.run();
      const results = await Promise.all(ids.map((id) => queue.waitFor(id)));
      await queue.stop();
      process.stdout.write(JSON.stringify({ node: process.version.split(".")[0], results }), () => process.exit());
    `);
    expect(ran).toEqual({ node: "v20", results: [4, 6, 2] });
  });

  it("loads the client of the HTTP API", async () => {
    const client = await bundle("../../packages/core/src/http.ts");
    const names = runInNode20(`
      import * as client from ${JSON.stringify(client)};
      console.log(JSON.stringify(Object.keys(client)));
    `);
    expect(names).toContain("httpDriver");
  });

  it("describes the HTTP API", async () => {
    const openapi = await bundle("../../packages/edge/src/api/openapi.ts");
    const version = runInNode20(`
      import { openApiDocument } from ${JSON.stringify(openapi)};
      console.log(JSON.stringify(openApiDocument({ limits: { bodyBytes: 1, payloadBytes: 1, jobs: 1, keyMs: 1 } }).openapi));
    `);
    expect(version).toBe("3.1.1");
  });
});
