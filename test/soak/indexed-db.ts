import { join } from "node:path";
import { systemClock } from "@quayside/core";
import { seededRandom } from "@quayside/testing";
import type { Page } from "playwright-core";
import { createServer } from "vite";
import { fromSources } from "../../scripts/sources.mjs";
import { crash, withProfile } from "../faults/support/browser.ts";
import { pause } from "./actors.ts";
import { pick } from "./behaviour.ts";
import { finish } from "./finish.ts";
import { Ledger } from "./ledger.ts";
import type { SoakTab } from "./page/tab.ts";
import type { SoakOptions, SoakResult } from "./run.ts";

declare const window: Window & { readonly soak: SoakTab };

const YEAR_MS = 365 * 86_400_000;
const TABS = 3;
/** Numbers for the jobs of one tab, so that no two tabs share any. */
const JOBS_PER_TAB = 10_000_000;
const TROUBLE_MS = 1_200;

interface Tab {
  readonly label: string;
  readonly page: Page;
}

/** A queue in IndexedDB, worked by tabs of one browser that are closed, crash, fill the disk and have a wrong clock. */
export async function soakIndexedDb({ jobs, until, seed }: SoakOptions): Promise<SoakResult> {
  const random = seededRandom(seed);
  const ledger = new Ledger();
  const server = await createServer({
    root: join(import.meta.dirname, "page"),
    logLevel: "error",
    plugins: [fromSources()],
    server: { port: 0, host: "127.0.0.1" },
  });
  await server.listen();
  const origin = server.resolvedUrls?.local[0] as string;
  let result: SoakResult | undefined;

  await withProfile(async (context) => {
    await context.exposeFunction("note", (notes: Parameters<Ledger["keep"]>[0]) => ledger.keep(notes));
    const tabs = new Set<Tab>();
    let opened = 0;
    const open = async (label = `tab ${++opened}`): Promise<Tab> => {
      const page = await context.newPage();
      page.on("pageerror", (error) => ledger.violation("uncaught", error.message));
      await page.goto(`${origin}?tab=${encodeURIComponent(label)}&seed=${seed + opened}`);
      await page.waitForFunction(() => "soak" in window);
      return { label, page };
    };
    /** A tab that adds, works and operates. */
    const start = async () => {
      const tab = await open();
      tabs.add(tab);
      const first = opened * JOBS_PER_TAB;
      const share = Math.min(JOBS_PER_TAB, Math.ceil(jobs / TABS));
      await tab.page.evaluate(
        async ([first, share]) => {
          window.soak.produce(first, share);
          window.soak.operate();
          await window.soak.work(10);
        },
        [first, share] as const,
      );
    };
    const calm = await open("calm");
    await calm.page.evaluate(() => window.soak.prepare());
    for (let tab = 0; tab < TABS; tab++) await start();

    const session = await context.newCDPSession(calm.page);
    const quota = (bytes?: number) =>
      session.send("Storage.overrideQuotaForOrigin", {
        origin: new URL(origin).origin,
        ...(bytes !== undefined && { quotaSize: bytes }),
      });
    const setClock = (offsetMs: number) =>
      calm.page.evaluate((ms) => localStorage.setItem("offsetMs", `${ms}`), offsetMs);
    let offset = 0;
    const kill = async (how: (page: Page) => Promise<void>) => {
      const victim = pick(random, [...tabs]);
      tabs.delete(victim);
      // For good: notes of the tab's last moments may be on their way.
      ledger.disturbUntil(victim.label, "killed");
      await how(victim.page);
      await start();
    };
    const troubles = [
      () => kill((page) => page.close()),
      () =>
        kill(async (page) => {
          await crash(page);
          await page.close();
        }),
      async () => {
        const { label, page } = pick(random, [...tabs]);
        const over = ledger.disturbUntil(label, "stopped");
        await page.evaluate(() => window.soak.stop());
        over();
        await page.evaluate(() => window.soak.work(10));
      },
      async () => {
        offset = offset !== 0 ? 0 : random() < 0.5 ? YEAR_MS : -YEAR_MS;
        await setClock(offset);
      },
      async () => {
        await quota(1);
        await pause(systemClock, 700);
        await quota();
      },
    ];
    const added = () => ledger.added;
    while (added() < jobs && until()) {
      await pause(systemClock, random() * 2 * TROUBLE_MS);
      await pick(random, troubles)();
    }
    await setClock(0);
    await quota();
    for (const { page } of tabs) await page.evaluate(() => window.soak.quiet());
    const verdict = await finish(
      {
        clock: systemClock,
        unfinished: () => calm.page.evaluate(() => window.soak.unfinished()),
        endRecurrence: () => calm.page.evaluate(() => window.soak.endRecurrence()),
        remaining: () => calm.page.evaluate(() => window.soak.remaining()),
      },
      ledger,
    );
    result = { home: "indexeddb", ...verdict };
  });
  await server.close();
  return result as SoakResult;
}
