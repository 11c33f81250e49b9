import type { BrowserContext, Page } from "playwright-core";
import type { Life, Told } from "../page/life.ts";

declare const window: Window & { readonly life: Life };

export interface TabOptions {
  /** A name for it, that its words come with. */
  readonly tab: string;
  readonly tabs?: "all" | "leader";
  /** Whether handlers of `hold` wait to be finished from outside. Otherwise they return at once. */
  readonly hold?: boolean;
  /** Time stands still there, and is moved by hand. */
  readonly manual?: boolean;
  /** It has an outbox. */
  readonly outbox?: boolean;
}

/** What the tabs of a context say, and waiting for it. */
export class Listener {
  readonly heard: Told[] = [];
  readonly #waiting = new Set<() => void>();

  static async of(context: BrowserContext): Promise<Listener> {
    const listener = new Listener();
    await context.exposeFunction("tell", (told: Told) => {
      listener.heard.push(told);
      for (const look of [...listener.#waiting]) look();
    });
    return listener;
  }

  count(what: Told["what"]): number {
    return this.heard.filter((told) => told.what === what).length;
  }

  /** Resolves with the first that `test` accepts, of what was said and is going to be. */
  until(test: (told: Told) => boolean): Promise<Told> {
    return new Promise((resolve) => {
      const look = () => {
        const found = this.heard.find(test);
        if (!found) return;
        this.#waiting.delete(look);
        resolve(found);
      };
      this.#waiting.add(look);
      look();
    });
  }
}

export async function openTab(context: BrowserContext, origin: string, options: TabOptions): Promise<Page> {
  const page = await context.newPage();
  await gotoLife(page, origin, options);
  return page;
}

export async function gotoLife(
  page: Page,
  origin: string,
  { tab, tabs, hold, manual, outbox }: TabOptions,
): Promise<void> {
  const query = new URLSearchParams({ tab, ...(tabs && { tabs }), ...(hold && { hold: "1" }) });
  if (manual) query.set("manual", "1");
  if (outbox) query.set("outbox", "1");
  await page.goto(`${origin}life.html?${query}`);
  await page.waitForFunction(() => "life" in window);
}
