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

  it("adds jobs to a server over HTTP", async () => {
    const core = await bundle("../../packages/core/src/index.ts");
    const client = await bundle("../../packages/core/src/http.ts");
    const added = runInNode20(`
      import { createServer } from "node:http";
      import { Queue } from ${JSON.stringify(core)};
      import { httpDriver } from ${JSON.stringify(client)};
      const server = createServer(async (request, response) => {
        let body = "";
        for await (const chunk of request) body += chunk;
        const ids = JSON.parse(body).map(({ name }) => ({ id: "id of " + name, deduplicated: false }));
        response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify(ids));
      });
      await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
      const driver = httpDriver({ url: "http://127.0.0.1:" + server.address().port });
      const ids = await Promise.all(["a", "b"].map((name) => new Queue("mail", driver).addJob(name, 1)));
      process.stdout.write(JSON.stringify(ids), () => process.exit());
    `);
    expect(added).toEqual(["id of a", "id of b"]);
  });

  it("describes the HTTP API", async () => {
    const openapi = await bundle("../../packages/edge/src/api/openapi.ts");
    const version = runInNode20(`
      import { openApiDocument } from ${JSON.stringify(openapi)};
      console.log(JSON.stringify(openApiDocument({ limits: { bodyBytes: 1, payloadBytes: 1, jobs: 1, keyTtl: 1 } }).openapi));
    `);
    expect(version).toBe("3.1.1");
  });
});
