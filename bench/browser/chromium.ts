import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { build, preview } from "vite";
import { CHROMIUM_FLAGS, ensureChromium } from "../../scripts/find-chromium.mjs";
import { expressionOf, type Run } from "./protocol.ts";

const root = fileURLToPath(new URL("page", import.meta.url));

/** A page that makes runs, in a browser that keeps what it stores on disk. */
export interface BenchBrowser {
  readonly version: string;
  run(run: Run): Promise<number>;
  close(): Promise<void>;
}

/** The page as a user ships it, built for production and served. */
export async function servePage(folder: string): Promise<{ readonly url: string; close(): Promise<void> }> {
  const outDir = join(folder, "page");
  const config = { root, configFile: false, logLevel: "error", mode: "production" } as const;
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
  return { url, close: () => server.close() };
}

export async function openChromium(): Promise<BenchBrowser> {
  const folder = await mkdtemp(join(tmpdir(), "quayside-bench-"));
  const server = await servePage(folder);
  // Playwright's usual contexts keep all in memory: nothing of theirs would be as it is for a user.
  const context = await chromium.launchPersistentContext(join(folder, "profile"), {
    executablePath: await ensureChromium(),
    headless: true,
    args: CHROMIUM_FLAGS,
  });
  const page = await context.newPage();
  await page.goto(server.url);
  await page.waitForFunction("'bench' in globalThis");
  return {
    version: context.browser()?.version() ?? "unknown",
    run: (run) => page.evaluate<number>(expressionOf(run)),
    async close() {
      await context.close();
      await server.close();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
