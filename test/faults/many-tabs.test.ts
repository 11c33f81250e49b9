import { seededRandom } from "@quayside/testing";
import type { BrowserContext, Page } from "playwright-core";
import { expect, it } from "vitest";
import type { Life } from "./page/life.ts";
import { crash, servePages, withProfile } from "./support/browser.ts";
import { gotoLife, Listener, openTab } from "./support/tabs.ts";

declare const window: Window & { readonly life: Life };

const origin = servePages();

const JOBS = 5_000;
const TABS = ["a", "b", "c", "d"];
const RECOVERY_MS = 2_000;

const openAll = (context: BrowserContext) => Promise.all(TABS.map((tab) => openTab(context, origin(), { tab })));

/** A tab that has nothing to do any more says so: then, at the latest, it is worth a look. */
async function untilDone(observer: Page, listener: Listener, count = JOBS): Promise<undefined> {
  for (;;) {
    const heard = listener.heard.length;
    const { completed } = await observer.evaluate(() => window.life.counts());
    if (completed === count) return undefined;
    await listener.until(() => listener.heard.length > heard);
  }
}

it("5,000 jobs worked by four tabs of one origin: each is handled exactly once", async () => {
  await withProfile(async (context) => {
    const listener = await Listener.of(context);
    const pages = await openAll(context);
    await pages[0]?.evaluate((count) => window.life.add("count", count), JOBS);
    const startedAt = Date.now();
    await Promise.all(pages.map((page) => page.evaluate(() => window.life.run(20))));
    await untilDone(pages[0] as Page, listener);
    const runs = await Promise.all(pages.map((page) => page.evaluate(() => window.life.runs())));
    console.info(
      `four tabs: ${JOBS} jobs in ${Date.now() - startedAt} ms, ${runs.map(({ length }) => length).join(" + ")} each`,
    );
    expect(runs.flat()).toHaveLength(JOBS);
    expect(new Set(runs.flat()).size).toBe(JOBS);
    for (const { length } of runs) expect(length).toBeGreaterThan(0);
  });
});

const seed = Number(process.env["QUAYSIDE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const KILLS = 8;

it("5,000 jobs worked by four tabs that crash, close and navigate away at random: each at least once, none lost", async () => {
  console.info(`random tab kills: QUAYSIDE_SEED=${seed}`);
  const random = seededRandom(seed);
  const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T;
  await withProfile(async (context) => {
    const listener = await Listener.of(context);
    const pages = await openAll(context);
    const observer = await openTab(context, origin(), { tab: "observer" });
    await Promise.all(pages.map((page) => page.evaluate(() => window.life.run(20))));
    const fates: string[] = [];
    const recoveries: number[] = [];
    for (let kills = 1; kills <= KILLS; kills++) {
      // In portions, so that there is work at every death, however long a new tab takes to open.
      const words = listener.count("done") + 1 + Math.floor(random() * 10);
      await observer.evaluate((count) => window.life.add("count", count), JOBS / KILLS);
      await listener.until(() => listener.count("done") >= words);
      const victim = pick([0, 1, 2, 3]);
      const fate = pick(["crash", "close", "navigate"]);
      const page = pages[victim] as Page;
      const tab = `${TABS[victim]}${kills}`;
      const at = Date.now();
      if (fate === "crash") await crash(page);
      if (fate === "navigate") await gotoLife(page, origin(), { tab });
      else await page.close();
      const done = untilDone(observer, listener, (kills * JOBS) / KILLS);
      // None begins again when it held nothing.
      const rerun = await Promise.race([listener.until((told) => told.what === "began" && told.at >= at), done]);
      if (fate === "crash" && rerun) recoveries.push(rerun.at - at);
      await done;
      fates.push(fate);
      const next = fate === "navigate" ? page : await openTab(context, origin(), { tab });
      pages[victim] = next;
      await next.evaluate(() => window.life.run(20));
    }
    const { numbers, interrupted } = await observer.evaluate(() => window.life.completed());
    console.info(
      `random tab kills: ${fates.join(", ")}; ${interrupted} jobs interrupted; from a crash to the first re-run ` +
        `${recoveries.join(", ")} ms`,
    );
    expect(numbers).toHaveLength(JOBS);
    expect(new Set(numbers).size).toBe(JOBS);
    const left = await observer.evaluate(() => window.life.counts());
    expect(left).toMatchObject({ waiting: 0, delayed: 0, active: 0, failed: 0 });
    for (const recovery of recoveries) expect(recovery).toBeLessThan(RECOVERY_MS);
  });
});

it.each([
  ["crashes", crash],
  ["is closed", (page: Page) => page.close()],
  ["navigates away", (page: Page) => page.goto("about:blank")],
] as const)(
  "R10: what a tab was working on that %s runs again elsewhere within 2 s, although the others were idle",
  async (how, end) => {
    await withProfile(async (context) => {
      const listener = await Listener.of(context);
      const victim = await openTab(context, origin(), { tab: "victim", hold: true });
      await victim.evaluate(() => window.life.add("hold", 10));
      await victim.evaluate(() => window.life.run(10));
      await listener.until(({ number }) => number === 9);
      const others = await Promise.all(["x", "y"].map((tab) => openTab(context, origin(), { tab })));
      await Promise.all(others.map((page) => page.evaluate(() => window.life.run(10))));
      const at = Date.now();
      await end(victim);
      const first = await listener.until(({ tab, what }) => tab !== "victim" && what === "began");
      await listener.until(() => listener.heard.filter(({ what }) => what === "completed").length === 10);
      const last = Math.max(...listener.heard.map((told) => told.at));
      console.info(`a tab that ${how}: first re-run after ${first.at - at} ms, all ten after ${last - at} ms`);
      expect(first.at - at).toBeLessThan(RECOVERY_MS);
      const reruns = listener.heard.filter(({ tab, what }) => tab !== "victim" && what === "began");
      expect(reruns.map(({ number }) => number).sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });
  },
);
