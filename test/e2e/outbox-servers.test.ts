import type { ServerResponse } from "node:http";
import { Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { launchOptions } from "../support/chromium.ts";
import type { OutboxTab } from "./outbox-page/tab.ts";
import type { Call, FaultProxy, Reply } from "./support/fault-proxy.ts";
import { type OutboxSite, startOutboxSite } from "./support/outbox-site.ts";

declare const window: Window & { readonly outbox: OutboxTab };

let site: OutboxSite;
let proxy: FaultProxy;
let api: string;
let browser: Browser;
let context: BrowserContext;

beforeAll(async () => {
  site = await startOutboxSite();
  ({ proxy, api } = site);
  browser = await chromium.launch(await launchOptions());
});

afterEach(async () => {
  proxy.before = () => "pass";
  proxy.after = async () => "pass";
  await context.close();
});

afterAll(async () => {
  await browser.close();
  await site.close();
});

async function openTab(space: string, { clock = false } = {}): Promise<Page> {
  context = await browser.newContext();
  const page = await context.newPage();
  if (clock) await page.clock.install();
  await page.goto(`${proxy.url}/?space=${space}`);
  await page.waitForFunction(() => "outbox" in window);
  return page;
}

/** A server at the other end, its jobs as they arrived. */
function arrived(space: string) {
  const driver = httpDriver({ url: new URL(`/spaces/${space}/api`, api).href, token: "token-all" });
  return async () => {
    const { jobs } = await driver.list({ queue: "mail", limit: 1_000 });
    return jobs.map(({ payload }) => payload);
  };
}

const isAdd = ({ method, path }: Call) => method === "POST" && path.endsWith("/mail/jobs");
const order = (count: number) => Array.from({ length: count }, (_, index) => index);
const state = (page: Page) => page.evaluate(() => window.outbox.state());
const events = (page: Page) => page.evaluate(() => window.outbox.events());
const add = (page: Page, count: number, from = 0) =>
  page.evaluate(([count, from]) => window.outbox.add(count, from), [count, from] as const);
const signIn = (page: Page, token: string) =>
  page.evaluate((token) => {
    window.outbox.signIn(token);
    window.outbox.forward();
  }, token);
/** Resolves when the page has told of an event so often. */
const heard = (page: Page, name: string, times = 1) =>
  page.waitForFunction(
    ([name, times]) => window.outbox.events().filter((event) => event.name === name).length >= times,
    [name, times] as const,
  );

const html = { "content-type": "text/html" };
const answer =
  (status: number, headers: Readonly<Record<string, string>> = html, body = "<html>Not here</html>"): Reply =>
  (response) =>
    void response.writeHead(status, headers).end(body);
/** Sends a byte and then nothing more. */
const drip: Reply = (response) => void response.writeHead(200, { "content-type": "application/json" }).write("[");
const silence: Reply = (_: ServerResponse) => {};

/** Answers all adds in place of the server, and counts them. */
function inPlaceOfServer(reply: (n: number) => Reply | "refuse") {
  const counted = { adds: 0 };
  proxy.before = (call) => (isAdd(call) ? reply(counted.adds++) : "refuse");
  return counted;
}

describe("an outbox in a page whose user is signed out", () => {
  it("R30: holds what it has while the edge answers 401, says so, and sends it once there is a token", async () => {
    const list = arrived("outbox-auth");
    const page = await openTab("outbox-auth");
    await page.evaluate(() => window.outbox.signIn("token-of-yesterday"));
    await add(page, 5);
    await heard(page, "paused");
    expect(await state(page)).toMatchObject({ pending: 5, failed: 0, paused: "auth" });
    // Signed out for good, and then in again.
    await signIn(page, "");
    await heard(page, "error", 2);
    expect(await state(page)).toMatchObject({ pending: 5, failed: 0, paused: "auth" });
    await signIn(page, "token-all");
    await page.evaluate(() => window.outbox.delivered());
    expect(await state(page)).toEqual({ pending: 0, failed: 0 });
    expect(await list()).toEqual(order(5));
    const names = (await events(page)).map(({ name }) => name);
    expect(names.filter((name) => name === "paused" || name === "resumed" || name === "refused")).toEqual([
      "paused",
      "resumed",
    ]);
  });
});

describe("R37: a batch whose answer was lost, with another subject's token", () => {
  /** The jobs of a space as they are worked, without any trace afterwards. */
  async function workAt(space: string) {
    const driver = httpDriver({ url: new URL(`/spaces/${space}/api`, api).href, token: "token-all" });
    const queue = new Queue<{ email: number }>("mail", driver);
    await queue.configure({ keep: { completed: 0, failed: 0, cancelled: 0 } });
    const received: number[] = [];
    queue.on("job:email", async (payload) => void received.push(payload));
    return { received, drain: () => queue.drain({ concurrency: 50 }), close: () => driver.close() };
  }

  /** Ann adds five jobs; those that are sent arrive and are worked, and no answer comes back. */
  async function lostBy(page: Page, worker: Awaited<ReturnType<typeof workAt>>): Promise<void> {
    await page.evaluate(() => window.outbox.signIn("token-ann"));
    proxy.after = async (call) => {
      if (!isAdd(call)) return "pass";
      await worker.drain();
      // A browser repeats a request by itself whose connection breaks: the answer is lost until the test goes on.
      return worker.received.length > 0 ? "lose" : "pass";
    };
    await page.evaluate(() => window.outbox.add(5, 0));
    await heard(page, "error");
    expect(worker.received.length).toBeGreaterThan(0);
  }

  const ways: readonly (readonly [string, string, (page: Page) => Promise<Page>])[] = [
    ["in the same page", "subject-same", async (page) => page],
    ["in a queue that is split over 4 objects", "split-subject", async (page) => page],
    [
      "after the page was loaded again",
      "subject-reload",
      async (page) => {
        await page.reload();
        await page.waitForFunction(() => "outbox" in window);
        return page;
      },
    ],
    [
      "in another tab",
      "subject-tab",
      async (page) => {
        const other = await context.newPage();
        await other.goto(page.url());
        await other.waitForFunction(() => "outbox" in window);
        await other.evaluate(() => window.outbox.signIn("token-bob"));
        await page.close();
        return other;
      },
    ],
  ];
  it.each(ways)("is not added again: it waits, and says so (%s)", async (_, space, next) => {
    const worker = await workAt(space);
    const first = await openTab(space);
    await lostBy(first, worker);
    const page = await next(first);
    await page.evaluate(() => window.outbox.signIn("token-bob"));
    proxy.after = async () => "pass";
    await signIn(page, "token-bob");
    await heard(page, "paused");
    await signIn(page, "token-bob");
    await heard(page, "error", 2);
    expect(await state(page)).toMatchObject({ pending: 5, failed: 0, paused: "auth" });
    expect((await events(page)).find(({ name }) => name === "paused")?.message).toContain("another subject");
    await signIn(page, "token-ann-renewed");
    await page.evaluate(() => window.outbox.delivered());
    expect(await state(page)).toEqual({ pending: 0, failed: 0 });
    await worker.drain();
    expect([...worker.received].sort()).toEqual(order(5));
    expect((await events(page)).some(({ name }) => name === "refused")).toBe(false);
    await worker.close();
  });

  it("is not added again where the first token has run out and the token function answers the other's", async () => {
    const space = "subject-renewed";
    const worker = await workAt(space);
    const page = await openTab(space);
    await lostBy(page, worker);
    proxy.before = (call) => {
      if (!isAdd(call)) return "pass";
      proxy.before = () => "pass";
      proxy.after = async () => "pass";
      return (response) =>
        void page
          .evaluate(() => window.outbox.signIn("token-bob"))
          .then(() => response.writeHead(401, { "content-type": "text/html" }).end());
    };
    await page.evaluate(() => window.outbox.forward());
    await heard(page, "paused");
    expect(await state(page)).toMatchObject({ pending: 5, failed: 0, paused: "auth" });
    await signIn(page, "token-ann");
    await page.evaluate(() => window.outbox.delivered());
    await worker.drain();
    expect([...worker.received].sort()).toEqual(order(5));
    await worker.close();
  });

  it("holds up nothing once it is answered: later jobs go with whoever is signed in", async () => {
    const space = "subject-later";
    const list = arrived(space);
    const page = await openTab(space);
    for (const [turn, token] of ["token-ann", "token-bob", "token-ann-renewed", "token-bob"].entries()) {
      await page.evaluate((token) => window.outbox.signIn(token), token);
      await add(page, 2, 2 * turn);
      await page.evaluate(() => window.outbox.delivered());
    }
    expect(await list()).toEqual(order(8));
    expect((await events(page)).every(({ name }) => name === "forwarded")).toBe(true);
  });
});

describe("an outbox in a page behind a captive portal", () => {
  const portals: readonly (readonly [string, Reply, RegExp])[] = [
    ["that leads to its login page", answer(302, { location: "/index.html" }), /200 \(text\/html, from http/],
    ["that leads the request itself there", answer(307, { location: "/index.html" }), /\(.*from http/],
  ];
  it.each(portals)("%s loses nothing, and says who answered", async (name, reply, said) => {
    const space = `outbox-portal-${portals.findIndex(([each]) => each === name)}`;
    const list = arrived(space);
    const page = await openTab(space);
    inPlaceOfServer(() => reply);
    await add(page, 3);
    await heard(page, "error");
    expect((await events(page)).find((event) => event.name === "error")?.message).toMatch(said);
    expect(await state(page)).toMatchObject({ pending: 3, failed: 0 });
    proxy.before = () => "pass";
    await page.evaluate(() => window.outbox.forward());
    await page.evaluate(() => window.outbox.delivered());
    expect(await list()).toEqual(order(3));
    expect((await events(page)).some((event) => event.name === "refused")).toBe(false);
  });
});

describe("an outbox in a page during an outage of 45 minutes", () => {
  it("fails nothing for good, sends no more often than its pauses allow, and delivers all of it afterwards", async () => {
    const list = arrived("outbox-outage");
    const page = await openTab("outbox-outage", { clock: true });
    const faults: readonly (Reply | "refuse")[] = [
      "refuse",
      answer(502),
      answer(503, { ...html, "retry-after": "0" }),
      answer(401),
      answer(403),
      answer(404),
      answer(500, { "content-type": "application/problem+json" }, '{"status":500,"code":"internal"}'),
      answer(503, { "content-type": "application/problem+json" }, '{"status":503,"code":"closed"}'),
      answer(200),
      answer(302, { location: "/" }),
      silence,
      drip,
    ];
    const counted = inPlaceOfServer((n) => faults[n % faults.length] as Reply | "refuse");
    for (let minute = 0; minute < 45; minute++) {
      if (minute < 10) await add(page, 2, minute * 2);
      // Half a minute is also the time after which an answer that does not come is given up.
      for (let half = 0; half < 2; half++) await page.clock.runFor(30_000);
    }
    expect(await state(page)).toMatchObject({ pending: 20, failed: 0 });
    // 1 s, 2 s, 4 s … up to 5 min, and one for each new job.
    expect(counted.adds).toBeGreaterThan(12);
    expect(counted.adds).toBeLessThan(40);
    proxy.before = () => "pass";
    await page.evaluate(() => window.outbox.forward());
    await page.evaluate(() => window.outbox.delivered());
    expect(await state(page)).toEqual({ pending: 0, failed: 0 });
    expect(await list()).toEqual(order(20));
    expect((await events(page)).some((event) => event.name === "refused")).toBe(false);
  });
});

describe("a worker over HTTP whose server is replaced by others for a while", () => {
  it("runs its jobs once, and what they have ended in is not lost", async () => {
    context = await browser.newContext();
    const space = "worker-portal";
    const driver = httpDriver({ url: `${proxy.url}/spaces/${space}/api`, token: "token-all" });
    const queue = new Queue<{ email: number }>("mail", driver);
    const ids = await queue.addJobs(order(3).map((payload) => ({ name: "email", payload })));
    const replies: Reply[] = [
      answer(404),
      answer(400, { "content-type": "application/json" }, '{"error":"bad"}'),
      answer(200),
    ];
    let met = 0;
    const received: number[] = [];
    const faults: unknown[] = [];
    queue.on("error", ({ error }) => faults.push((error as { code?: unknown }).code));
    queue.on("job:email", async (payload) => {
      received.push(payload);
      proxy.before = ({ path }) =>
        path.endsWith("/exchange") && met < replies.length ? (replies[met++] as Reply) : "pass";
      return `sent ${payload}`;
    });
    await queue.run({ concurrency: 3 });
    await vi.waitFor(
      async () => {
        expect(met).toBe(replies.length);
        for (const id of ids) expect(await queue.get(id)).toMatchObject({ state: "completed", attempts: 1 });
      },
      { timeout: 30_000, interval: 200 },
    );
    expect([...received].sort()).toEqual(order(3));
    expect(faults).toHaveLength(replies.length);
    await queue.stop();
    await driver.close();
  });
});
