import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type InlineConfig, preview } from "vite";
import { fromSources } from "../../scripts/sources.mjs";
import { type Engine, openEngine } from "../../test/support/open-engine.ts";
import type { Run } from "./protocol.ts";

const root = fileURLToPath(new URL("page", import.meta.url));

/** A page that makes runs, in a browser that keeps what it stores on disk. */
export interface BenchBrowser {
  readonly agent: string;
  run(run: Run): Promise<number>;
  close(): Promise<void>;
}

/** The page as a user ships it, built for production and served. */
export async function servePage(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const outDir = await mkdtemp(join(tmpdir(), "quayside-bench-page-"));
  const config = {
    root,
    configFile: false,
    logLevel: "error",
    mode: "production",
    plugins: [fromSources()],
  } satisfies InlineConfig;
  await build({ ...config, build: { outDir, emptyOutDir: true, target: "es2022" } });
  const server = await preview({
    ...config,
    build: { outDir },
    preview: {
      host: "127.0.0.1",
      port: 0,
      // Isolated pages have the finest clock.
      headers: { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" },
    },
  });
  const [url] = server.resolvedUrls?.local ?? [];
  if (url === undefined) throw new Error("The page is not served.");
  return {
    url,
    async close() {
      await server.close();
      await rm(outDir, { recursive: true, force: true });
    },
  };
}

/** @param url of the page that is served; the browser keeps what it stores on disk, as a user's does. */
export async function openBench(engine: Engine, url: string): Promise<BenchBrowser> {
  const page = await openEngine(engine, { url });
  return {
    agent: (await page.evaluate("bench.agent")) as string,
    run: (run) => page.evaluate("bench.run", run) as Promise<number>,
    close: () => page.close(),
  };
}
