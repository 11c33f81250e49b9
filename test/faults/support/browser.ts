import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type LaunchOptions, type Page } from "playwright-core";
import { createServer, type ViteDevServer } from "vite";
import { afterAll, beforeAll } from "vitest";
import { fromSources } from "../../../scripts/sources.mjs";
import { launchOptions } from "../../support/chromium.ts";

/** Serves `test/faults/page` while the file's tests run; answers its origin once they do. */
export function servePages(): () => string {
  let server: ViteDevServer;
  beforeAll(async () => {
    server = await createServer({
      root: join(import.meta.dirname, "../page"),
      logLevel: "error",
      plugins: [fromSources()],
      server: { port: 0, host: "127.0.0.1" },
    });
    await server.listen();
  });
  afterAll(() => server.close());
  return () => server.resolvedUrls?.local[0] as string;
}

/** Runs `use` with a browser whose profile is on disk, as a user's is. */
export async function withProfile(
  use: (context: BrowserContext, profile: string) => Promise<void>,
  options: LaunchOptions = {},
): Promise<void> {
  const profile = await mkdtemp(join(tmpdir(), "quayside-profile-"));
  try {
    await withContext(profile, (context) => use(context, profile), options);
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Starts a browser on a profile, which may have been used before. */
export async function withContext(
  profile: string,
  use: (context: BrowserContext) => Promise<void>,
  options: LaunchOptions = {},
): Promise<void> {
  const context = await chromium.launchPersistentContext(profile, { ...(await launchOptions()), ...options });
  try {
    await use(context);
  } finally {
    await context.close();
  }
}

/** Ends the renderer as a fault would. */
export async function crash(page: Page): Promise<void> {
  const crashed = page.waitForEvent("crash");
  const session = await page.context().newCDPSession(page);
  // The command is never answered: its target is gone.
  session.send("Page.crash").catch(() => {});
  await crashed;
}

/** Stops all scripts of a page where they are, whatever is sent to it; it keeps its locks. */
export async function suspend(page: Page): Promise<() => Promise<void>> {
  const session = await page.context().newCDPSession(page);
  await session.send("Debugger.enable");
  const paused = new Promise<void>((resolve) => session.once("Debugger.paused", () => resolve()));
  await session.send("Debugger.pause");
  // What runs next stops at its first statement; it answers once it goes on.
  session.send("Runtime.evaluate", { expression: "0" }).catch(() => {});
  await paused;
  return async () => {
    await session.send("Debugger.resume");
  };
}

/** As the browser does to tabs that nobody looks at: no timer runs there. */
export async function freeze(page: Page): Promise<() => Promise<void>> {
  const session = await page.context().newCDPSession(page);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  return async () => {
    await session.send("Page.setWebLifecycleState", { state: "active" });
  };
}
