import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchOptions } from "../support/chromium.ts";
import type { OutboxTab } from "./outbox-page/tab.ts";
import type { Call, FaultProxy } from "./support/fault-proxy.ts";
import { type OutboxSite, startOutboxSite } from "./support/outbox-site.ts";

declare const window: Window & { readonly outbox: OutboxTab };

let site: OutboxSite;
let proxy: FaultProxy;
let api: string;

beforeAll(async () => {
  site = await startOutboxSite();
  ({ proxy, api } = site);
});

afterAll(async () => {
  await site.close();
});

/** A browser whose profile is on disk, as a user's is. It can be restarted. */
class Browser {
  readonly #profile: string;
  #context: BrowserContext | undefined;

  constructor(profile: string) {
    this.#profile = profile;
  }

  async tab(space: string): Promise<Page> {
    this.#context ??= await chromium.launchPersistentContext(this.#profile, await launchOptions());
    const page = await this.#context.newPage();
    await page.goto(`${proxy.url}/?space=${space}`);
    await page.waitForFunction(() => "outbox" in window);
    return page;
  }

  async quit(): Promise<void> {
    await this.#context?.close();
    this.#context = undefined;
  }
}

async function withBrowser(use: (browser: Browser) => Promise<void>): Promise<void> {
  const profile = await mkdtemp(join(tmpdir(), "quayside-outbox-"));
  const browser = new Browser(profile);
  try {
    await use(browser);
  } finally {
    await browser.quit();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A worker at the edge that keeps nothing of what it has done. */
async function workAt(space: string) {
  const driver = httpDriver({ url: new URL(`/spaces/${space}/api`, api).href, token: "token-all" });
  const queue = new Queue<{ email: number }>("mail", driver);
  await queue.configure({ keep: { completed: 0, failed: 0, cancelled: 0 } });
  const received: number[] = [];
  queue.on("job:email", async (number) => void received.push(number));
  return { received, drain: () => queue.drain({ concurrency: 50 }), counts: () => queue.counts(), driver };
}

const isAdd = ({ method, path }: Call) => method === "POST" && path.endsWith("/mail/jobs");
const pending = (page: Page) => page.evaluate(async () => (await window.outbox.state()).pending);
const order = (count: number) => Array.from({ length: count }, (_, index) => index);

describe("an outbox in a page, and a queue at the edge", () => {
  it("counts and live values say partial while the network is off, and all of it when it is back", async () => {
    const space = "outbox-partial";
    await withBrowser(async (browser) => {
      proxy.before = () => "pass";
      proxy.after = async () => "pass";
      const page = await browser.tab(space);
      await page.context().setOffline(true);
      await page.evaluate(() => window.outbox.add(3, 0));
      const none = { delayed: 0, active: 0, completed: 0, failed: 0, cancelled: 0, paused: false };
      expect(await page.evaluate(() => window.outbox.counts())).toEqual({ ...none, waiting: 3, partial: true });
      await page.waitForFunction(() => {
        const { counts, completed } = window.outbox.live();
        return /"waiting":3.*"partial":true/.test(`${counts.at(-1)}`) && /"partial":true/.test(`${completed.at(-1)}`);
      });
      await page.context().setOffline(false);
      await page.evaluate(() => window.outbox.delivered());
      expect(await page.evaluate(() => window.outbox.counts())).toEqual({ ...none, waiting: 3 });
      await page.waitForFunction(() => {
        const { counts, completed } = window.outbox.live();
        return [counts, completed].every(
          (states) => /"ready"/.test(`${states.at(-1)}`) && !/partial/.test(`${states.at(-1)}`),
        );
      });
      expect(await page.evaluate(() => JSON.stringify(window.outbox.live()))).not.toContain('"failed","error"');
    });
  });

  it("offline for 1,000 adds, reload, restart, then online: the edge receives exactly 1,000, in order, though every other answer is lost and the jobs are done and pruned by then", async () => {
    const space = "outbox-1000";
    await withBrowser(async (browser) => {
      const worker = await workAt(space);
      let refused = 0;
      proxy.before = (call) => {
        if (isAdd(call)) refused++;
        return "refuse";
      };
      const first = await browser.tab(space);
      await first.evaluate(async () => {
        const failed = window.outbox.failed();
        await window.outbox.add(1_000, 0);
        await failed;
      });
      expect(await pending(first)).toBe(1_000);
      await first.reload();
      await first.waitForFunction(() => "outbox" in window);
      expect(await pending(first)).toBe(1_000);
      await browser.quit();

      const second = await browser.tab(space);
      await second.evaluate(() => window.outbox.failed());
      expect(await pending(second)).toBe(1_000);
      expect(refused).toBeGreaterThanOrEqual(2);
      expect(worker.received).toEqual([]);

      let sends = 0;
      proxy.after = async (call) => {
        if (!isAdd(call)) return "pass";
        await worker.drain();
        return ++sends % 2 === 1 ? "lose" : "pass";
      };
      proxy.before = () => "pass";
      await second.evaluate(() => window.outbox.delivered());
      proxy.after = async () => "pass";
      expect(sends).toBeGreaterThanOrEqual(10);
      expect(worker.received).toEqual(order(1_000));
      expect(await worker.counts()).toMatchObject({ waiting: 0, active: 0, completed: 0 });
      expect(await second.evaluate(() => window.outbox.state())).toEqual({ pending: 0, failed: 0 });
      await worker.driver.close();
    });
  });

  it("R27: a tab that crashes with an answer outstanding: another sends the batch again, and nothing arrives twice", async () => {
    const space = "outbox-crash";
    await withBrowser(async (browser) => {
      const worker = await workAt(space);
      const committed = Promise.withResolvers<void>();
      const never = Promise.withResolvers<"lose">();
      let sends = 0;
      proxy.before = () => "pass";
      proxy.after = async (call) => {
        if (!isAdd(call) || ++sends > 1) return "pass";
        await worker.drain();
        committed.resolve();
        return never.promise;
      };
      const victim = await browser.tab(space);
      const survivor = await browser.tab(space);
      await victim.evaluate(() => window.outbox.add(10, 0));
      await committed.promise;
      await survivor.evaluate(() => window.outbox.add(10, 10));
      await crash(victim);
      await survivor.evaluate(() => window.outbox.delivered());
      never.resolve("lose");
      proxy.after = async () => "pass";
      await worker.drain();
      expect(sends).toBeGreaterThan(1);
      expect(worker.received).toEqual(order(20));
      await worker.driver.close();
    });
  });
});

/** Ends the renderer as a fault would. */
async function crash(page: Page): Promise<void> {
  const crashed = page.waitForEvent("crash");
  const session = await page.context().newCDPSession(page);
  // The command is never answered: its target is gone.
  session.send("Page.crash").catch(() => {});
  await crashed;
}
