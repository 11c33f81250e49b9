import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";
import type { BrowserProviderOption } from "vitest/node";
import { CHROMIUM_FLAGS, type Engine, findBrowser } from "./scripts/find-browsers.mjs";
import { FROM_SOURCES, fromSources } from "./scripts/sources.mjs";
import { engineProvider } from "./test/support/engine-provider.ts";
import { LongestFirst } from "./test/support/longest-first.ts";

const { QUAYSIDE_ALL, HOSTILE_RUNS, HOSTILE_SEED } = process.env;
/** For test/hostile: `pnpm nightly` sets QUAYSIDE_ALL, and looks elsewhere each time. */
const hostile = {
  nightly: QUAYSIDE_ALL !== undefined,
  ...(HOSTILE_RUNS && { runs: Number(HOSTILE_RUNS) }),
  ...(HOSTILE_SEED ? { seed: Number(HOSTILE_SEED) } : QUAYSIDE_ALL && { seed: Date.now() % 2 ** 31 }),
};

const chromium = await findBrowser("chromium");

/**
 * Test files that the check runs in Firefox and WebKit: storage, locks and tabs, pages put aside, where engines differ, and
 * the conformance of the driver. `pnpm nightly` and `pnpm test:browsers` run all of test/browser in each.
 */
const WHERE_ENGINES_DIFFER =
  "test/browser/{conformance,formats,mini,quota,smoke,storage-faults,storage-health,store-indexed-db,tabs,tabs-at-work,transaction}.test.ts";

/** The tests of test/browser in one engine. */
const browserTests = (
  name: string,
  engine: Engine,
  provider: BrowserProviderOption,
): TestProjectInlineConfiguration => ({
  plugins: [fromSources()],
  // Found before the first test: a dependency that turns up later reloads the page in the middle of a run.
  optimizeDeps: { entries: ["test/browser/**/*.test.{ts,tsx}"] },
  test: {
    name,
    include: [engine === "chromium" || QUAYSIDE_ALL ? "test/browser/**/*.test.{ts,tsx}" : WHERE_ENGINES_DIFFER],
    testTimeout: 15_000,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider,
      instances: [{ browser: engine }],
    },
  },
});

/** Tests of whole systems that open no browser: a run of their own, beside that of the others. */
const WITHOUT_BROWSER = [
  "test/e2e/{api-sockets,bridges,hostile-http,http-driver,http-driver-shards,http-worker,object-deaths,openapi,queue-deaths,repeats-http,shard-deaths,template,webhooks}.test.ts",
  "test/faults/kill-node.test.ts",
];

export default defineConfig({
  test: {
    provide: { hostile },
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        plugins: [fromSources()],
        test: {
          name: "core",
          env: FROM_SOURCES,
          environment: "node",
          include: ["test/core/**/*.test.ts", "test/hostile/**/*.test.ts", "test/model/**/*.test.ts"],
        },
      },
      browserTests(
        "browser",
        "chromium",
        playwright({ launchOptions: { args: CHROMIUM_FLAGS, ...(chromium && { executablePath: chromium }) } }),
      ),
      browserTests("firefox", "firefox", engineProvider("firefox")),
      browserTests("webkit", "webkit", engineProvider("webkit")),
      {
        plugins: [cloudflareTest({ wrangler: { configPath: "./test/edge/wrangler.jsonc" } }), fromSources()],
        test: {
          name: "edge",
          include: ["test/edge/**/*.test.ts"],
          // Each file has a runtime of its own, and to start it costs more than most files do: the next one starts meanwhile.
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
          testTimeout: 30_000,
        },
      },
      {
        plugins: [fromSources()],
        test: {
          name: "server",
          env: FROM_SOURCES,
          environment: "node",
          include: WITHOUT_BROWSER,
          // Each file has a server of its own, and some wait for alarms and leases while others compute.
          maxWorkers: 2,
          // Vitest wants projects with a number of workers of their own in a group of their own.
          sequence: { groupOrder: 1 },
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "packed",
          environment: "node",
          include: ["test/packed/**/*.test.ts"],
          testTimeout: 120_000,
        },
      },
      {
        plugins: [fromSources()],
        test: {
          name: "e2e",
          env: FROM_SOURCES,
          environment: "node",
          include: ["test/e2e/**/*.test.ts", "test/faults/**/*.test.ts"],
          exclude: WITHOUT_BROWSER,
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
