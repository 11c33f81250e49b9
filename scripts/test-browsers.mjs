// The tests of test/browser, with the conformance suites of drivers, workers and stores, in real browsers:
//
//   node scripts/test-browsers.mjs [chromium | firefox | webkit …]
//
// Says of each engine what passed and what failed, or why it was not run. Fails if a test did, or if the one that
// everything else needs, Chromium, was not run.
import { once } from "node:events";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { openEngine } from "../test/support/open-engine.ts";
import { ENGINES, ensureBrowser } from "./find-browsers.mjs";
import { runTests } from "./run-tests.mjs";

/** @typedef {import("./find-browsers.mjs").Engine} Engine */

/** The Vitest project of each engine. */
const PROJECTS = { chromium: "browser", firefox: "firefox", webkit: "webkit" };

/**
 * @param {Engine} engine
 * @param {import("./run-tests.mjs").Print} [print]
 * @returns {Promise<{ ok: boolean, passed: number, failed: number } | { notRun: string }>}
 */
export async function testBrowser(engine, print) {
  try {
    await ensureBrowser(engine);
    await open(engine);
  } catch (error) {
    const [reason] = /** @type {[string]} */ (String(error instanceof Error ? error.message : error).split("\n"));
    return { notRun: reason };
  }
  return runTests(PROJECTS[engine], print);
}

/** One that is there may still not start: too old, or walled in by the system. @param {Engine} engine */
async function open(engine) {
  const server = createServer((_request, response) => void response.end("")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  try {
    const page = await openEngine(engine, { url: `http://127.0.0.1:${port}/` });
    await page.close();
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // All of test/browser in each engine: the check runs a part of it in Firefox and WebKit (vitest.config.ts).
  process.env.QUAYSIDE_ALL = "1";
  const named = ENGINES.filter((engine) => process.argv.includes(engine));
  const lines = [];
  for (const engine of named.length > 0 ? named : ENGINES) {
    const result = await testBrowser(engine);
    lines.push(
      `${engine}: ${"notRun" in result ? `not run: ${result.notRun}` : `passed ${result.passed} / failed ${result.failed}`}`,
    );
    if ("notRun" in result ? engine === "chromium" : !result.ok) process.exitCode = 1;
  }
  console.log(`\n${lines.join("\n")}`);
}
