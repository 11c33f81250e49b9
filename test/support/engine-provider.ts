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
    const opening = openEngine(this.#engine, { url });
    this.#opened.push(opening);
    await opening;
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#opened.splice(0));
    await Promise.all(opened.map((page) => (page.status === "fulfilled" ? page.value.close() : undefined)));
  }
}
