import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { defineBrowserProvider } from "@vitest/browser";
import type { BrowserProvider, BrowserProviderOption, TestProject } from "vitest/node";
import { type Engine, type OpenEngine, openEngine } from "./open-engine.ts";

/**
 * Runs Vitest's browser tests in the engine's own browser. All that Vitest needs of one is that it opens the page in
 * which the tests run; so the same files run in all engines. Not there: clicks, screenshots, the debugger.
 */
export const engineProvider = (engine: Engine): BrowserProviderOption =>
  defineBrowserProvider({
    name: "engine",
    supportedBrowser: [engine],
    providerFactory: (project) => new EngineProvider(engine, project),
  });

/** So much that no engine thinks of it as a disk that is nearly full: what a site may store is a share of that. */
const ROOM_BYTES = 4 * 2 ** 30;

/**
 * Where the profile goes: in memory where that has a folder, for each test makes a database and deletes it, and
 * WebKit waits for the disk each time (seen on a busy one: 224 s for what takes 51 s in memory).
 */
async function profileParent(): Promise<string> {
  const memory = await statfs("/dev/shm").catch(() => undefined);
  return memory && memory.bavail * memory.bsize >= ROOM_BYTES ? "/dev/shm" : tmpdir();
}

class EngineProvider implements BrowserProvider {
  readonly name = "engine";
  readonly supportsParallelism = false;
  readonly #engine: Engine;
  readonly #opened: Promise<OpenEngine>[] = [];

  constructor(engine: Engine, project: TestProject) {
    this.#engine = engine;
    // Asked for before each file. The frame of the tests is as large as they want it whatever the window is.
    project.browser?.registerCommand("__vitest_viewport" as never, (() => {}) as never);
  }

  getCommandsContext(): Record<string, unknown> {
    return {};
  }

  async openPage(_sessionId: string, url: string): Promise<void> {
    const opening = profileParent().then((profileIn) => openEngine(this.#engine, { url, profileIn }));
    this.#opened.push(opening);
    await opening;
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#opened.splice(0));
    await Promise.all(opened.map((page) => (page.status === "fulfilled" ? page.value.close() : undefined)));
  }
}
