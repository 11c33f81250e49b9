import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, type CDPSession, chromium, type Page } from "playwright-core";
import { createServer, type ViteDevServer } from "vite";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { fromSources } from "../../scripts/sources.mjs";
import { launchOptions } from "../support/chromium.ts";
import type { page as uploads } from "./service-worker/page.ts";

declare const window: Window & { readonly page: typeof uploads };

let server: ViteDevServer;
let origin: string;
let profile: string;
let context: BrowserContext;
let devtools: CDPSession;

/** Files as they reached the server, and how it answers. */
let uploaded: string[] = [];
let status = 200;

const eventually = <T>(check: () => T) => vi.waitFor(check, { timeout: 20_000 });

beforeAll(async () => {
  server = await createServer({
    root: join(import.meta.dirname, "service-worker"),
    logLevel: "error",
    server: { port: 0, host: "127.0.0.1" },
    plugins: [
      fromSources(),
      {
        name: "uploads",
        configureServer: ({ middlewares }) => {
          middlewares.use("/uploads", (request, response) => {
            if (status === 200) uploaded.push(request.url?.slice(1) ?? "");
            response.writeHead(status).end();
          });
        },
      },
    ],
  });
  await server.listen();
  origin = server.resolvedUrls?.local[0] as string;
});
afterAll(() => server.close());

beforeEach(async () => {
  [uploaded, status] = [[], 200];
  profile = await mkdtemp(join(tmpdir(), "quayside-profile-"));
  context = await chromium.launchPersistentContext(profile, await launchOptions());
  // A tab of another site: the browser lives on when the last page of this one is closed.
  devtools = await context.newCDPSession(context.pages()[0] ?? (await context.newPage()));
});
afterEach(async () => {
  await context.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
});

async function open(): Promise<Page> {
  const tab = await context.newPage();
  await tab.goto(origin);
  await tab.waitForFunction(() => "page" in window);
  return tab;
}

/** A page with its service worker installed, and that one's registration. */
async function install(): Promise<{ tab: Page; registrationId: string }> {
  let registrationId = "";
  devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
    for (const { scopeURL, registrationId: id } of registrations) if (scopeURL === origin) registrationId = id;
  });
  await devtools.send("ServiceWorker.enable");
  const tab = await open();
  await tab.evaluate(() => window.page.install());
  await eventually(() => expect(registrationId).not.toBe(""));
  return { tab, registrationId };
}

const add = (tab: Page, files: readonly string[]) =>
  tab.evaluate(
    (names) => window.page.queue.addJobs(names.map((file) => ({ name: "upload", payload: { file } }))),
    files,
  );

describe("a queue in the service worker", () => {
  it.each(["dispatchSyncEvent", "dispatchPeriodicSyncEvent"] as const)(
    "works the jobs of a page that is closed: %s",
    async (how) => {
      const { tab, registrationId } = await install();
      await add(tab, ["a.png", "b.png", "c.png"]);
      await tab.close();
      expect(uploaded).toEqual([]);
      await devtools.send(`ServiceWorker.${how}`, {
        origin,
        registrationId,
        tag: "quayside",
        lastChance: false,
      } as never);
      await eventually(() => expect(uploaded.toSorted()).toEqual(["a.png", "b.png", "c.png"]));
      const later = await open();
      await eventually(async () => expect(await later.evaluate(() => window.page.shown())).toBe("0/3"));
    },
  );

  it("is worked when the service worker starts, whatever it starts for", async () => {
    const { tab } = await install();
    await devtools.send("ServiceWorker.stopAllWorkers");
    await add(tab, ["a.png"]);
    await tab.close();
    expect(uploaded).toEqual([]);
    await devtools.send("ServiceWorker.startWorker", { scopeURL: origin });
    await eventually(() => expect(uploaded).toEqual(["a.png"]));
  });

  it("is worked by a sync that the page asked for, and the page sees progress, result and counts", async () => {
    const { tab } = await install();
    const [id] = await add(tab, ["a.png"]);
    expect(await tab.evaluate(() => window.page.requestBackgroundSync())).toBe("sync");
    await eventually(async () => expect(await tab.evaluate(() => window.page.shown())).toBe("0/1"));
    expect(await tab.evaluate(() => window.page.told)).toEqual([
      `progress ${id} 0.5`,
      `completed ${id} {"file":"a.png"}`,
    ]);
  });

  it("is worked at a page's message where Background Sync is not allowed", async () => {
    const { tab } = await install();
    await devtools.send("Browser.setPermission", {
      permission: { name: "background-sync" },
      setting: "denied",
      origin,
    });
    await add(tab, ["a.png"]);
    expect(await tab.evaluate(() => window.page.requestBackgroundSync())).toBe("message");
    await eventually(() => expect(uploaded).toEqual(["a.png"]));
  });

  it("fails its sync while the server is down, so that the browser comes back", async () => {
    const outcomes: string[] = [];
    devtools.on("BackgroundService.backgroundServiceEventReceived", ({ backgroundServiceEvent: event }) => {
      // The browser lists what it adds in no certain order.
      const details = event.eventMetadata.map(({ key, value }) => `${key}: ${value}`).sort();
      outcomes.push([event.eventName, ...details].join("; "));
    });
    await devtools.send("BackgroundService.startObserving", { service: "backgroundSync" });
    await devtools.send("BackgroundService.setRecording", { service: "backgroundSync", shouldRecord: true });
    const { tab } = await install();
    status = 503;
    const id = await tab.evaluate(() => window.page.queue.addJob("upload", { file: "a.png" }, { backoff: "1h" }));
    expect(await tab.evaluate(() => window.page.requestBackgroundSync())).toBe("sync");
    await eventually(() =>
      expect(outcomes).toEqual([
        expect.stringMatching("Registered sync"),
        expect.stringMatching("Dispatched sync event"),
        expect.stringMatching(/sync event failed; Failure Reason: waitUntil rejected; Next Attempt Delay/),
      ]),
    );
    expect(await tab.evaluate(() => window.page.told)).toContain(
      `retrying ${id} QuaysideError: The server answered 503.`,
    );
  });
});

describe("two tabs", () => {
  it("show the same counts, whichever of them adds", async () => {
    const [one, two] = [await open(), await open()];
    const shows = (tab: Page, text: string) =>
      eventually(async () => expect(await tab.evaluate(() => window.page.shown())).toBe(text));
    await Promise.all([shows(one, "0/0"), shows(two, "0/0")]);
    await add(one, ["a.png", "b.png"]);
    await Promise.all([shows(one, "2/0"), shows(two, "2/0")]);
    await add(two, ["c.png"]);
    await Promise.all([shows(one, "3/0"), shows(two, "3/0")]);
    await one.close();
    await add(two, ["d.png"]);
    await shows(two, "4/0");
  });
});
