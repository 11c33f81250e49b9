import type { BrowserContext, Page } from "playwright-core";
import { expect, it } from "vitest";
import type { Tab } from "./page/tab.ts";
import { crash, servePages, withProfile } from "./support/browser.ts";

declare const window: Window & { readonly tab: Tab };

const origin = servePages();

async function openTab(context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  await page.goto(origin());
  await page.waitForFunction(() => "tab" in window);
  return page;
}

const JOBS = 10_000;

it.each([
  ["closed", (page: Page) => page.close()],
  ["crashed", crash],
] as const)(
  "10,000 jobs in IndexedDB, the tab that works them %s midway: every one is completed, none is lost",
  async (how, kill) => {
    await withProfile(async (context) => {
      const victim = await openTab(context);
      const survivor = await openTab(context);
      await victim.evaluate((count) => window.tab.add(count), JOBS);
      await victim.evaluate(async () => {
        const handled = window.tab.handled(3_000);
        await window.tab.run(50);
        await handled;
      });
      await kill(victim);

      const left = await survivor.evaluate(() => window.tab.counts());
      expect(left.completed).toBeGreaterThanOrEqual(3_000);
      expect(left.completed).toBeLessThan(JOBS);
      const startedAt = Date.now();
      await survivor.evaluate(async () => {
        const empty = window.tab.empty();
        await window.tab.run(50);
        await empty;
      });
      const { numbers, interrupted } = await survivor.evaluate(() => window.tab.completed());
      const counts = await survivor.evaluate(() => window.tab.counts());
      console.info(
        `IndexedDB, tab ${how}: ${new Set(numbers).size} of ${JOBS} completed, ${left.completed} before its death, ` +
          `${left.active} held at death, ${interrupted} interrupted, the rest in ${Date.now() - startedAt} ms`,
      );
      expect(numbers).toHaveLength(JOBS);
      expect(new Set(numbers).size).toBe(JOBS);
      expect(interrupted).toBe(left.active);
      expect(counts).toMatchObject({ waiting: 0, delayed: 0, active: 0, failed: 0, completed: JOBS });
    });
  },
);
