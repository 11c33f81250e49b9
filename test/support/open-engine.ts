import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { CHROMIUM_FLAGS, type Engine, findBrowser } from "../../scripts/find-browsers.mjs";
import { openWebKit } from "./webkit.ts";

export type { Engine };

/** JSON, in and out. */
type Json = unknown;

/** A page in a browser of its own. */
export interface OpenEngine {
  /**
   * Calls a function that the page has put on `window`, once it has, and answers what it answers or promises.
   *
   * @param functionOnWindow its path from `window`: `"bench.run"`.
   * @throws what it threw, as an `Error` with that message.
   */
  evaluate(functionOnWindow: string, ...args: readonly Json[]): Promise<Json>;
  close(): Promise<void>;
}

export interface OpenEngineOptions {
  readonly url: string;
  /** The folder that keeps what the browser stores on disk, also after `close`. Absent: one that `close` removes. */
  readonly profile?: string;
  /** Where the folder is made that `close` removes. Default the system's folder for temporary files. */
  readonly profileIn?: string;
}

/** How long a page may take to put a function on `window`. */
const PAGE_TIME_LIMIT_MS = 30_000;

/**
 * Opens a URL in the engine's browser, without a window, with its storage on disk as a user's is.
 *
 * @throws Error when the browser is not installed: `ensureBrowser` of scripts/find-browsers.mjs sees to that.
 * @example
 * const page = await openEngine("webkit", { url, profile });
 * const timings = await page.evaluate("bench.run", "enqueue", 1_000);
 * await page.close();
 */
export async function openEngine(
  engine: Engine,
  { url, profile, profileIn = tmpdir() }: OpenEngineOptions,
): Promise<OpenEngine> {
  const executable = await findBrowser(engine);
  if (!executable) throw new Error(`No browser is installed for ${engine}.`);
  const folder = profile ?? (await mkdtemp(join(profileIn, `quayside-${engine}-`)));
  const removeFolder = async () => {
    if (!profile) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const open = engine === "webkit" ? openWebKit : openWithPuppeteer(engine);
  try {
    const page = await open(executable, url, folder);
    return {
      async evaluate(functionOnWindow, ...args) {
        const answer = JSON.parse((await page.evaluate(callExpression(functionOnWindow, args))) as string);
        if ("thrown" in answer) throw new Error(answer.thrown);
        return answer.value;
      },
      async close() {
        await page.close();
        await removeFolder();
      },
    };
  } catch (error) {
    await removeFolder();
    throw error;
  }
}

/** Text in and out, also of an error: each protocol has values and exceptions of its own. */
const callExpression = (path: string, args: readonly Json[]): string => `(async () => {
  try {
    const find = () => ${JSON.stringify(path.split("."))}.reduce((owner, name) => owner?.[name], window);
    const giveUpAt = performance.now() + ${PAGE_TIME_LIMIT_MS};
    while (typeof find() !== "function") {
      if (performance.now() > giveUpAt) throw new Error(${JSON.stringify(`The page has no function ${path}.`)});
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return JSON.stringify({ value: (await window.${path}(...${JSON.stringify(args)})) ?? null });
  } catch (error) {
    return JSON.stringify({ thrown: String(error?.stack?.includes(error.message) ? error.stack : error) });
  }
})()`;

/** Chromium over its own protocol, Firefox over WebDriver BiDi. */
const openWithPuppeteer =
  (engine: "chromium" | "firefox") => async (executable: string, url: string, profile: string) => {
    const browser = await puppeteer.launch({
      browser: engine === "chromium" ? "chrome" : "firefox",
      executablePath: executable,
      userDataDir: profile,
      headless: true,
      args: engine === "chromium" ? CHROMIUM_FLAGS : [],
      // What is called may take as long as it likes.
      protocolTimeout: 0,
    });
    try {
      const [page = await browser.newPage()] = await browser.pages();
      await page.goto(url);
      return {
        evaluate: (expression: string) => page.evaluate(expression) as Promise<string>,
        close: () => browser.close(),
      };
    } catch (error) {
      await browser.close();
      throw error;
    }
  };
