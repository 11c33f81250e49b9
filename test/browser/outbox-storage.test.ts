import { indexedDbDriver, type OutboxDriver, outboxDriver } from "@quayside/browser";
import { type Driver, Queue } from "@quayside/core";
import { createManualClock } from "@quayside/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { drop, freshName } from "./support/databases.ts";
import { couldHaveSent, delivered, down, emails, Remote, Site } from "./support/outbox.ts";
import { page, Server } from "./support/server.ts";

let sites: Site[] = [];
const track = (site: Site) => {
  sites.push(site);
  return { site, remote: site.remote, clock: site.clock, tab: site.tab.bind(site) };
};
const open = () => track(new Site());

afterEach(async () => {
  vi.restoreAllMocks();
  for (const site of sites) await site.close();
  sites = [];
});

/** Makes the browser fail to open databases, as it does with a disk that is busy or damaged. */
function failOpens(times: number): () => number {
  let asked = 0;
  const original = indexedDB.open.bind(indexedDB);
  vi.spyOn(indexedDB, "open").mockImplementation((...args) => {
    if (++asked <= times) throw new DOMException("Internal error opening backing store.", "UnknownError");
    return original(...args);
  });
  return () => asked;
}

describe("an outbox whose database does not open at first", () => {
  /** Two jobs lie in the database; the next tab cannot open it for a while. */
  async function pending() {
    const { remote, tab, clock } = open();
    remote.outage = down;
    const first = tab();
    const failed = new Promise((resolve) => first.outbox.on("error", resolve));
    await first.mail.addJobs(emails(2));
    await failed;
    await first.outbox.close();
    remote.outage = undefined;
    return { remote, tab, clock };
  }
  /** Each look at the database tries three times. */
  const looks = (times: number) => 3 * times;

  it.each([1, 2, 5])("looks again by itself after %i failures, and says so meanwhile", async (failures) => {
    const { tab, clock, remote } = await pending();
    failOpens(looks(failures));
    const { outbox } = tab();
    const errors: { queue?: string | undefined; retryInMs: number }[] = [];
    outbox.on("error", (event) => errors.push(event));
    for (let n = 1; n <= failures; n++) {
      await vi.waitFor(() => expect(errors).toHaveLength(n));
      expect(errors.at(-1)).not.toHaveProperty("queue");
      await clock.advance(errors.at(-1)?.retryInMs as number);
    }
    await delivered(outbox);
    await remote.work();
    expect(remote.handled).toEqual([0, 1]);
  });

  it.each<[string, (outbox: OutboxDriver) => void, number]>([
    ["`forward()`", (outbox) => outbox.forward(), 0],
    ["`online`", () => void window.dispatchEvent(new Event("online")), 1_000],
    ["`focus`", () => void window.dispatchEvent(new Event("focus")), 1_000],
  ])("looks again at %s", async (_, sign, afterMs) => {
    const { tab, clock, remote } = await pending();
    // So many that the pause is longer than the sign's.
    failOpens(looks(4));
    const { outbox } = tab();
    const errors: { retryInMs: number }[] = [];
    outbox.on("error", (event) => errors.push(event));
    for (let n = 1; n <= 3; n++) {
      await vi.waitFor(() => expect(errors).toHaveLength(n));
      await clock.advance(errors.at(-1)?.retryInMs as number);
    }
    await vi.waitFor(() => expect(errors).toHaveLength(4));
    sign(outbox);
    await clock.advance(afterMs);
    await delivered(outbox);
    await remote.work();
    expect(remote.handled).toEqual([0, 1]);
  });

  it("says so when the app closes the database under it", async () => {
    const { site, remote, clock, tab } = open();
    const local = indexedDbDriver({ name: site.name, clock });
    const { outbox, mail } = tab({ local });
    const errors: { retryInMs: number }[] = [];
    outbox.on("error", (event) => errors.push(event));
    await mail.addJob("email", 0);
    await delivered(outbox);
    await local.close();
    outbox.forward();
    await vi.waitFor(() => expect(errors.length).toBeGreaterThan(0));
    expect(errors.every(({ retryInMs }) => retryInMs === Number.POSITIVE_INFINITY)).toBe(true);
    expect(remote.sent).toHaveLength(1);
  });
});

describe("a purge that races an add", () => {
  /** A driver on the same jobs that lets something happen before one of its calls. */
  function interrupted(name: string, clock: Site["clock"], before: () => Promise<void>): Driver {
    const wrap = <T extends Driver>(driver: T): T =>
      new Proxy(driver, {
        get: (_, property) => {
          const value = driver[property as keyof T] as unknown;
          if (typeof value !== "function") return value;
          if (property === "strict") return () => wrap(value.call(driver));
          if (!["list", "command", "exchange"].includes(String(property))) return value.bind(driver);
          return async (...args: unknown[]) => {
            await before();
            return value.apply(driver, args);
          };
        },
      });
    return wrap(indexedDbDriver({ name, clock }));
  }

  /**
   * Adds a job before the call `step` of a purge, then a purge without anything in between. Whatever the first one left,
   * `state()` has said so, the second one removes it, and nothing is sent afterwards.
   *
   * @returns how many calls the first purge made.
   */
  async function race(step: number, queue: string): Promise<number> {
    const { site, remote, clock, tab } = open();
    remote.outage = down;
    const other = tab();
    let calls = -1;
    const local = interrupted(site.name, clock, async () => {
      if (calls < 0 || calls++ !== step) return;
      await other.outbox.enqueue([{ queue, name: "email", payload: '"added"' }]);
    });
    const { outbox } = tab({ local });
    await outbox.enqueue([{ queue: "mail", name: "email", payload: '"before"' }]);
    calls = 0;
    await outbox.purge();
    const made = calls;
    calls = -1;
    const left = (await outbox.state()).pending;
    expect(left).toBeLessThanOrEqual(1);
    expect(await listed(site, queue)).toBe(left);
    await outbox.purge();
    expect((await outbox.state()).pending).toBe(0);
    expect(await listed(site, queue)).toBe(0);
    const before = remote.sent.length;
    remote.outage = undefined;
    outbox.forward();
    other.outbox.forward();
    await couldHaveSent(outbox);
    // The next add to the queue brings nothing to light.
    await other.outbox.enqueue([{ queue, name: "email", payload: '"next"' }]);
    await delivered(outbox);
    expect(remote.sent.slice(before).flatMap(({ jobs }) => jobs.map(({ payload }) => payload))).toEqual(['"next"']);
    return made;
  }

  /** Jobs that lie in the database for a queue, whatever the outbox says. */
  async function listed({ name, clock }: Site, queue: string): Promise<number> {
    const driver = indexedDbDriver({ name, clock });
    const { waiting, delayed, active } = await driver.counts(`outbox/default@unnamed/${queue}`);
    await driver.close();
    return waiting + delayed + active;
  }

  it.each(["a queue that is new", "a queue that is known"])(
    "leaves no job of %s behind that nobody knows of, whenever it comes",
    async (which) => {
      const queue = which.endsWith("new") ? "new" : "mail";
      const steps = await race(Number.POSITIVE_INFINITY, queue);
      expect(steps).toBeGreaterThan(3);
      for (let step = 0; step < steps; step++) await race(step, queue);
    },
    60_000,
  );

  it("without any order, from the tab itself", async () => {
    const { site, remote, tab } = open();
    remote.outage = down;
    const { outbox, mail } = tab();
    for (let n = 0; n < 10; n++) {
      await Promise.all([mail.addJob("email", n), outbox.purge(), mail.addJob("email", n)]);
      expect((await outbox.state()).pending).toBe(await listed(site, "mail"));
      await outbox.purge();
      expect(await listed(site, "mail")).toBe(0);
    }
  });
});

describe("two outboxes on one database, with different remotes", () => {
  const two = () => {
    const { site, clock } = open();
    const [a, b] = [new Server(), new Server()];
    const urls = ["https://a.example/queues", "https://b.example/queues"] as const;
    const tabOf = (server: Server, url: string, options = {}) =>
      site.tab({ remote: server.driver({ url }), ...options });
    return { site, clock, a, b, urls, tabOf };
  };

  it("send each its own jobs, though queue and partition are the same", async () => {
    const { a, b, urls, tabOf } = two();
    const [one, other] = [tabOf(a, urls[0]), tabOf(b, urls[1])];
    const toA = await one.mail.addJobs(emails(3));
    const toB = await other.mail.addJobs(emails(3));
    await delivered(one.outbox);
    await delivered(other.outbox);
    expect([...a.stored.keys()]).toEqual(toA);
    expect([...b.stored.keys()]).toEqual(toB);
  });

  it("one after the other: what waits for the first is not sent to the second, which says so", async () => {
    const { a, b, urls, tabOf } = two();
    a.outage = () => page(503);
    const first = tabOf(a, urls[0]);
    const failed = new Promise((resolve) => first.outbox.on("error", resolve));
    const ids = await first.mail.addJobs(emails(2));
    await failed;
    await first.outbox.close();
    const second = tabOf(b, urls[1]);
    const told: unknown[] = [];
    second.outbox.on("elsewhere", (event) => told.push(event));
    const there = { remote: urls[0], pending: 2 };
    await vi.waitFor(() => expect(told).toEqual([there]));
    await second.mail.addJob("email", 9);
    await delivered(second.outbox);
    expect(await second.outbox.state()).toEqual({ pending: 0, failed: 0, elsewhere: [there] });
    expect(b.stored.size).toBe(1);
    // Nor is it the second one's to remove.
    await second.outbox.purge();
    expect(await second.outbox.state()).toMatchObject({ elsewhere: [there] });
    await second.outbox.close();
    // The URL has changed, and this is the same server under another: it goes on under the old name.
    const moved = tabOf(b, urls[1], { remoteName: urls[0] });
    await delivered(moved.outbox);
    expect([...b.stored.keys()].slice(-2)).toEqual(ids);
    expect(await moved.outbox.state()).toEqual({ pending: 0, failed: 0 });
  });

  it("that have names keep to them, whatever their URLs, and those without a URL too", async () => {
    const { site, clock } = two();
    const [a, b] = [new Remote(clock), new Remote(clock)];
    const one = site.tab({ remote: a.connect(), remoteName: "a" });
    const other = site.tab({ remote: b.connect(), remoteName: "b" });
    await one.mail.addJob("email", "a");
    await other.mail.addJob("email", "b");
    await delivered(one.outbox);
    await delivered(other.outbox);
    for (const remote of [a, b]) await remote.work();
    expect([a.handled, b.handled]).toEqual([["a"], ["b"]]);
  });

  it("a URL is the same however it is written", async () => {
    const { a, urls, tabOf } = two();
    a.outage = () => page(503);
    const first = tabOf(a, new URL("/queues/", location.href).href);
    await first.mail.addJob("email", 0);
    await first.outbox.close();
    a.outage = undefined;
    // The server's function takes any URL; a relative one only lacks an origin to parse.
    const remote = a.driver({
      url: "/queues",
      fetch: (url, init) => a.handle(new URL(url, urls[0]).href, init),
    });
    const site = sites.at(-1) as Site;
    const { outbox } = site.tab({ remote });
    await delivered(outbox);
    expect(a.stored.size).toBe(1);
  });
});

describe("an outbox of jobs that expire", () => {
  it("never gives a job longer than it was given, though the clock was set back by three days", async () => {
    const { remote, clock, tab } = open();
    remote.outage = down;
    const { outbox, mail } = tab();
    const failed = new Promise((resolve) => outbox.on("error", resolve));
    await mail.addJobs([
      { name: "email", payload: 0, expiresIn: "1h" },
      { name: "email", payload: 1, expiresIn: "1h", delay: "10m" },
      { name: "email", payload: 2 },
    ]);
    await failed;
    clock.jump(-3 * 86_400_000);
    remote.outage = undefined;
    outbox.forward();
    await delivered(outbox);
    expect(remote.sent.at(-1)?.jobs.map(({ delayMs, expiresInMs }) => [delayMs, expiresInMs])).toEqual([
      [undefined, 3_600_000],
      [600_000, 3_600_000],
      [undefined, undefined],
    ]);
  });

  it("keeps what is left of it while the clock stands right", async () => {
    const clock = createManualClock();
    const name = freshName();
    const remote = new Remote(clock);
    const outbox = outboxDriver({ local: indexedDbDriver({ name, clock }), remote: remote.connect(), clock });
    remote.outage = down;
    const failed = new Promise((resolve) => outbox.on("error", resolve));
    await new Queue("mail", outbox, { clock }).addJob("email", 0, { expiresIn: "1h" });
    await failed;
    clock.jump(1_800_000);
    remote.outage = undefined;
    outbox.forward();
    await delivered(outbox);
    expect(remote.sent.at(-1)?.jobs[0]?.expiresInMs).toBe(1_800_000);
    await outbox.close();
    await drop(name);
  });
});
