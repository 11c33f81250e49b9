import type { JobRecord } from "@quayside/core";
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import type { Life, Told } from "./page/life.ts";
import { crash, freeze, servePages, suspend, withProfile } from "./support/browser.ts";
import { Listener, openTab } from "./support/tabs.ts";

declare const window: Window & { readonly life: Life };

const origin = servePages();

const add = (page: Page, count: number) => page.evaluate((jobs) => window.life.add("hold", jobs), count);
const run = (page: Page) => page.evaluate(() => window.life.run(10));

// Ten minutes in steps of ten seconds, each with what the browser has to do in it.
it("R10: a frozen tab keeps its lease up to the cap and loses it after; R8: what it settles once thawed loses", {
  timeout: 150_000,
}, async () => {
  await withProfile(async (context) => {
    const listener = await Listener.of(context);
    const sleeper = await openTab(context, origin(), { tab: "sleeper", hold: true });
    await add(sleeper, 1);
    await run(sleeper);
    await listener.until(({ what }) => what === "began");
    const other = await openTab(context, origin(), { tab: "other", manual: true });
    await run(other);
    const thaw = await freeze(sleeper);

    // Half a minute short of the ten that a silent worker has.
    await other.evaluate(() => window.life.advance(10_000, 57));
    expect(await other.evaluate(() => window.life.job(0))).toMatchObject({ state: "active", interruptions: 0 });
    expect(listener.heard.filter(({ tab, what }) => tab === "other" && what === "began")).toEqual([]);

    await other.evaluate(() => window.life.advance(10_000, 10));
    const completed = listener.until(({ tab, what }) => tab === "other" && what === "completed");
    await Promise.race([completed, other.evaluate(() => window.life.advance(10_000, 6))]);
    await completed;

    await thaw();
    await sleeper.evaluate(() => window.life.finish(0));
    const { code } = await listener.until(({ tab, what }) => tab === "sleeper" && what === "error");
    expect(code).toBe("lease_lost");
    expect(await other.evaluate(() => window.life.job(0))).toMatchObject({
      state: "completed",
      result: "other",
      interruptions: 1,
    });
    expect(listener.heard.filter(({ tab, what }) => tab === "sleeper" && what === "completed")).toEqual([]);
  });
});

it("R14: what a page that navigates away was working on runs elsewhere, and no attempt is spent", async () => {
  await withProfile(async (context) => {
    const listener = await Listener.of(context);
    const page = await openTab(context, origin(), { tab: "leaves", hold: true });
    await add(page, 1);
    await run(page);
    await listener.until(({ what }) => what === "began");
    const other = await openTab(context, origin(), { tab: "other" });
    await run(other);
    await page.goto(`${origin()}empty.html`);
    await listener.until(({ tab, what }) => tab === "other" && what === "completed");
    const { state, attempts, interruptions } = (await other.evaluate(() => window.life.job(0))) as JobRecord;
    console.info(`a page that navigated away: its job was ${interruptions === 0 ? "given back" : "taken back"}`);
    expect([state, attempts]).toEqual(["completed", 1]);
  });
});

it("R8: a page that comes out of the back/forward cache works on, as a new worker", async () => {
  await withProfile(
    async (context) => {
      const listener = await Listener.of(context);
      const page = await openTab(context, origin(), { tab: "aside" });
      await run(page);
      await listener.until(({ what }) => what === "idle");
      await page.evaluate(() => window.life.rested());
      await page.goto(`${origin()}empty.html`);
      const other = await openTab(context, origin(), { tab: "other" });
      // Said to all tabs; the page that is put aside must not hear it, or it would not be kept.
      await add(other, 1);
      // Playwright waits for a load that does not come.
      page.goBack().catch(() => {});
      const shown = await listener.until(
        ({ tab, what, persisted }) => tab === "aside" && what === "shown" && persisted === true,
      );
      const completed = await listener.until(({ what }) => what === "completed");
      console.info(`out of the back/forward cache: at work after ${completed.at - shown.at} ms`);
      expect(completed.tab).toBe("aside");
    },
    { ignoreDefaultArgs: ["--disable-back-forward-cache"] },
  );
});

it("a page whose outbox has the turn is kept in the back/forward cache while another tab forwards, and goes on", async () => {
  await withProfile(
    async (context) => {
      const listener = await Listener.of(context);
      const forwards = (tab: string) => listener.until((told) => told.tab === tab && told.what === "forwarded");
      const page = await openTab(context, origin(), { tab: "aside", outbox: true });
      await page.evaluate(() => window.life.send());
      await forwards("aside");
      // `forwarded` comes before the batch is settled. A browser drops a page that it put aside in the middle of a transaction
      // as soon as another tab waits for that one, and loads it again on the way back.
      await page.evaluate(() => window.life.rested());
      await page.goto(`${origin()}empty.html`);
      const other = await openTab(context, origin(), { tab: "other", outbox: true });
      await other.evaluate(() => window.life.send());
      await forwards("other");
      // Playwright waits for a load that does not come.
      page.goBack().catch(() => {});
      const again = ({ tab, what }: Told) => tab === "aside" && what === "shown";
      await listener.until(() => listener.heard.filter(again).length === 2);
      expect(listener.heard.filter(again)[1]?.persisted).toBe(true);
      await other.close();
      const before = listener.heard.length;
      await page.evaluate(() => window.life.send());
      await listener.until((told) => listener.heard.indexOf(told) >= before && told.what === "forwarded");
    },
    { ignoreDefaultArgs: ["--disable-back-forward-cache"] },
  );
});

it("tabs: leader: one tab works; when it crashes the next takes over, without being asked", async () => {
  await withProfile(async (context) => {
    const listener = await Listener.of(context);
    const [one, two, three] = (await Promise.all(
      ["one", "two", "three"].map((tab) => openTab(context, origin(), { tab, tabs: "leader" })),
    )) as [Page, Page, Page];
    await run(one);
    await run(two);
    await run(three);
    await add(three, 20);
    await listener.until(() => listener.heard.filter(({ what }) => what === "completed").length === 20);
    expect(new Set(listener.heard.filter(({ what }) => what === "began").map(({ tab }) => tab))).toEqual(
      new Set(["one"]),
    );
    const before = listener.heard.length;
    const at = Date.now();
    await crash(one);
    await three.evaluate(() => window.life.add("count", 100));
    const next = await listener.until((told) => listener.heard.indexOf(told) >= before && told.what === "done");
    console.info(`a leader that crashed: the next works after ${next.at - at} ms`);
    expect(next.tab).not.toBe("one");
    await listener.until((told) => told.what === "done" && told.number === 100);
  });
});

it("tabs: leader: a frozen leader does not lead for ever, and lets go when it thaws", async () => {
  await withProfile(async (context) => {
    const listener = await Listener.of(context);
    const sleeper = await openTab(context, origin(), { tab: "sleeper", tabs: "leader", hold: true });
    await add(sleeper, 1);
    await run(sleeper);
    await listener.until(({ what }) => what === "began");
    const next = await openTab(context, origin(), { tab: "next", tabs: "leader", manual: true });
    await run(next);
    const thaw = await suspend(sleeper);
    await next.evaluate(() => window.life.add("count", 25));
    await next.evaluate(() => window.life.advance(10_000, 3));
    expect(listener.heard.filter(({ tab, what }) => tab === "next" && what === "done")).toEqual([]);
    await next.evaluate(() => window.life.advance(10_000, 1));
    await listener.until(({ tab, what, number }) => tab === "next" && what === "done" && number === 25);
    await thaw();
    await listener.until(({ tab, what }) => tab === "sleeper" && what === "aborted");
  });
});
