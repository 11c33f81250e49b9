import {
  broadcastEvents,
  handleBackgroundSync,
  indexedDbDriver,
  outboxDriver,
  requestBackgroundSync,
  storageHealth,
  type TabsOption,
  workerEvents,
} from "@quayside/browser";
import { memoryDriver, Queue, systemClock } from "@quayside/core";
import { createManualClock } from "@quayside/testing";
import { type IDBPDatabase, openDB } from "idb";
import { afterEach, describe, expect, it, vi } from "vitest";
import { databaseOf, exists, freshName, NEWER, VERSION } from "./support/databases.ts";

const closers: (() => unknown)[] = [];

afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  for (const close of closers.splice(0).reverse()) await close();
});

const eventually = (check: () => unknown) => vi.waitFor(check, { timeout: 10_000 });

/** One tab of a site where one tab works for all. */
function open(name: string, { jobs = ["email"], clock = systemClock, tabs = "leader" as TabsOption } = {}) {
  const driver = indexedDbDriver({ name, tabs, clock });
  const queue = new Queue<Record<string, unknown>>("mail", driver, { clock });
  const ran: unknown[] = [];
  const errors: unknown[] = [];
  queue.on("error", ({ error }) => errors.push(error));
  for (const job of jobs) queue.on(`job:${job}`, (payload) => void ran.push(payload));
  closers.push(
    () => driver.close(),
    () => queue.stop({ timeout: 0 }),
  );
  return { driver, queue, ran, errors };
}

const makeStores = (database: IDBPDatabase): void => {
  for (const collection of ["jobs", "leases", "ids", "dedupe", "cells", "tallies"])
    database.createObjectStore(collection);
};

const transition = (type: "pagehide" | "pageshow") => dispatchEvent(new PageTransitionEvent(type, { persisted: true }));

/** A task, which a loop of microtasks would never let run. */
const task = () => new Promise((resolve) => setTimeout(resolve));

describe("tabs: leader, where Web Locks are denied", () => {
  const deny = (error: unknown) => {
    const request = vi.spyOn(navigator.locks, "request").mockImplementation(() => Promise.reject(error));
    vi.spyOn(navigator.locks, "query").mockRejectedValue(error);
    return request;
  };

  it.each(["SecurityError", "InvalidStateError", "NotSupportedError", "AbortError"])(
    "(%s) asks once, leads, and works the jobs",
    async (name) => {
      const request = deny(new DOMException("denied", name));
      const { queue, ran } = open(freshName());
      await queue.run();
      await task();
      await queue.addJob("email", 1);
      await eventually(() => expect(ran).toEqual([1]));
      expect(request.mock.calls.filter(([lock]) => lock.endsWith(":leader"))).toHaveLength(1);
    },
  );

  it("does without a channel where that is denied as well", async () => {
    vi.stubGlobal(
      "BroadcastChannel",
      class {
        constructor() {
          throw new DOMException("denied", "SecurityError");
        }
      },
    );
    deny(new DOMException("denied", "SecurityError"));
    const { queue, ran } = open(freshName());
    await queue.run();
    await queue.addJob("email", 1);
    await eventually(() => expect(ran).toEqual([1]));
    const outbox = outboxDriver({ local: indexedDbDriver({ name: freshName() }), remote: memoryDriver() });
    closers.push(() => outbox.close());
    broadcastEvents(queue, "denied")();
    workerEvents("denied").on("idle", () => {})();
  });
});

describe("driver.close() without stop()", () => {
  it("gives up the lead: another tab leads", async () => {
    const name = freshName();
    const [first, second] = [open(name), open(name)];
    const idle = new Promise((resolve) => first.queue.on("idle", resolve));
    await first.queue.run();
    await idle;
    await second.queue.run();
    await first.driver.close();
    await second.queue.addJob("email", 1);
    await eventually(() => expect(second.ran).toEqual([1]));
    expect(first.ran).toEqual([]);
  });

  it("gives back what runs, not counted, and its lock, and stops the worker", async () => {
    const name = freshName();
    const driver = indexedDbDriver({ name });
    const queue = new Queue<Record<string, unknown>>("mail", driver);
    queue.on("error", () => {});
    const begun = new Promise<void>((resolve) => {
      queue.on("job:email", () => {
        resolve();
        return new Promise(() => {});
      });
    });
    await queue.addJob("email", 1, { id: "one" });
    await queue.run();
    await begun;
    await driver.close();
    await expect(queue.drain()).rejects.toMatchObject({ code: "closed" });
    const next = open(name);
    expect(await next.queue.get("one")).toMatchObject({ state: "waiting", attempts: 0, interruptions: 0 });
    await next.queue.drain();
    expect(next.ran).toEqual([1]);
    const held = (await navigator.locks.query()).held ?? [];
    expect(held.filter((lock) => lock.name?.startsWith(`quayside:${name}:`))).toEqual([]);
  });

  it("ends a drain that waits for a job of this tab", async () => {
    const { driver, queue } = open(freshName());
    queue.on("job:hold", () => new Promise(() => {}));
    const active = new Promise((resolve) => queue.on("active", resolve));
    await queue.addJob("hold", 1);
    const drained = queue.drain().catch((error: unknown) => error);
    await active;
    await driver.close();
    expect(await drained).toMatchObject({ code: "closed" });
  });
});

describe("a tab that leads, and a drain elsewhere", () => {
  class Scope extends EventTarget {
    readonly serviceWorker = { state: "installing" };

    sync(): Promise<unknown> {
      let work: Promise<unknown> = Promise.resolve();
      const waitUntil = (promise: Promise<unknown>) => {
        work = promise;
      };
      this.dispatchEvent(Object.assign(new Event("sync"), { tag: "quayside", waitUntil }));
      return work;
    }
  }

  it("a leading page does not keep a background sync of the same database from its jobs", async () => {
    const name = freshName();
    const [page, background] = [open(name, { jobs: [] }), open(name)];
    await page.queue.run();
    await page.queue.addJob("email", 1);
    const scope = new Scope();
    closers.push(handleBackgroundSync(background.queue, { scope }));
    await scope.sync();
    expect(background.ran).toEqual([1]);
  });

  it("a background sync that works does not keep a page from leading", async () => {
    const name = freshName();
    const [page, background] = [open(name), open(name, { jobs: [] })];
    const begun = new Promise<() => void>((resolve) => {
      background.queue.on("job:upload", () => new Promise<void>((finish) => resolve(finish)));
    });
    await background.queue.addJob("upload", 1);
    const scope = new Scope();
    closers.push(handleBackgroundSync(background.queue, { scope }));
    const work = scope.sync();
    const finish = await begun;
    await page.queue.run();
    await page.queue.addJob("email", 2);
    await eventually(() => expect(page.ran).toEqual([2]));
    finish();
    await work;
  });

  it("drain and processNext of a follower that runs work at once; after that it follows again", async () => {
    const name = freshName();
    const [leader, follower] = [open(name, { jobs: [] }), open(name)];
    await leader.queue.run();
    await follower.queue.run();
    await follower.queue.addJob("email", 1);
    await follower.queue.drain();
    expect(follower.ran).toEqual([1]);
    leader.queue.on("job:email", (payload) => void leader.ran.push(payload));
    await follower.queue.addJob("email", 2);
    await eventually(() => expect(leader.ran).toEqual([2]));
    expect(follower.ran).toEqual([1]);
  });

  it("run() during such a drain stands in line once the drain is over", async () => {
    const name = freshName();
    const [leader, follower] = [open(name, { jobs: [] }), open(name)];
    await leader.queue.run();
    await follower.queue.addJob("email", 1);
    const drained = follower.queue.drain();
    await follower.queue.run();
    await drained;
    expect(follower.ran).toEqual([1]);
    await follower.queue.addJob("email", 2);
    await leader.driver.close();
    await eventually(() => expect(follower.ran).toEqual([1, 2]));
  });
});

describe("a page that is put aside", () => {
  /** Channels that are open, by name, and locks that are held or waited for, of this database. */
  const openChannels = () => {
    const names: string[] = [];
    const Original = BroadcastChannel;
    vi.stubGlobal(
      "BroadcastChannel",
      class extends Original {
        constructor(name: string) {
          super(name);
          names.push(name);
        }
        override close() {
          const at = names.indexOf(this.name);
          if (at >= 0) names.splice(at, 1);
          super.close();
        }
      },
    );
    return names;
  };
  const locksOf = async (name: string) => {
    const { held = [], pending = [] } = await navigator.locks.query();
    return [...held, ...pending].filter((lock) => lock.name?.startsWith(`quayside:${name}:`));
  };

  it("with outboxes, one that has the turn and one that waits for it, has no channel and no lock; it forwards again", async () => {
    const name = freshName();
    const channels = openChannels();
    const remote = memoryDriver();
    const outboxes = [1, 2].map(() => {
      const outbox = outboxDriver({ local: indexedDbDriver({ name }), remote });
      closers.push(() => outbox.close());
      return outbox;
    });
    const mail = new Queue("mail", outboxes[0] as (typeof outboxes)[0]);
    await mail.addJob("email", 1);
    await eventually(async () => expect(await remote.counts("mail")).toMatchObject({ waiting: 1 }));
    expect(await locksOf(name)).toHaveLength(2);
    transition("pagehide");
    expect(channels).toEqual([]);
    await eventually(async () => expect(await locksOf(name)).toEqual([]));
    transition("pageshow");
    await mail.addJob("email", 2);
    await eventually(async () => expect(await remote.counts("mail")).toMatchObject({ waiting: 2 }));
    await eventually(async () => expect(await locksOf(name)).toHaveLength(2));
  });

  it("with listeners to the events of workers has no channel, and hears of them again", async () => {
    const name = freshName();
    const channels = openChannels();
    const { queue } = open(name);
    closers.push(broadcastEvents(queue, name));
    const heard: unknown[] = [];
    closers.push(workerEvents(name).on("completed", ({ job }) => heard.push(job.payload)));
    transition("pagehide");
    expect(channels).toEqual([]);
    transition("pageshow");
    await queue.addJob("email", 1);
    await queue.drain();
    await eventually(() => expect(heard).toEqual([1]));
  });
});

describe("a tab with older code, once newer code has upgraded the database", () => {
  it("gives up the lead, though idle, and says so", async () => {
    const name = freshName();
    const old = open(name);
    await old.queue.run();
    await old.queue.addJob("email", 1);
    await eventually(() => expect(old.ran).toEqual([1]));
    const newer = await openDB(databaseOf(name), NEWER);
    closers.push(() => newer.close());
    await eventually(() =>
      expect(old.errors).toContainEqual(
        expect.objectContaining({
          code: "storage_unavailable",
          details: expect.objectContaining({ reason: "newer_version" }),
        }),
      ),
    );
    await eventually(async () => {
      const { held = [] } = await navigator.locks.query();
      expect(held.filter((lock) => lock.name === `quayside:${name}:leader`)).toEqual([]);
    });
    await expect(old.queue.drain()).rejects.toMatchObject({ details: { reason: "newer_version" } });
  });

  it("says so where every tab works, though idle; drain() and run() say it, too", async () => {
    const name = freshName();
    const old = open(name, { tabs: "all" });
    const idle = new Promise((resolve) => old.queue.on("idle", resolve));
    await old.queue.run();
    await idle;
    const newer = await openDB(databaseOf(name), NEWER);
    closers.push(() => newer.close());
    const refusal = { code: "storage_unavailable", details: { reason: "newer_version" } };
    await eventually(() => expect(old.errors).toMatchObject([refusal]));
    await expect(old.queue.drain()).rejects.toMatchObject(refusal);
    await old.queue.stop();
    const before = old.errors.length;
    await old.queue.run();
    await eventually(() => expect(old.errors.slice(before)).toMatchObject([refusal]));
  });

  it.each(["all", "leader"] as const)("works again when the database can be used again (%s)", async (tabs) => {
    const name = freshName();
    const old = open(name, { tabs });
    await old.queue.run();
    (await openDB(databaseOf(name), NEWER)).close();
    const refusal = { code: "storage_unavailable", details: { reason: "newer_version" } };
    await eventually(() => expect(old.errors.at(-1)).toMatchObject(refusal));
    await new Promise((resolve) => {
      indexedDB.deleteDatabase(databaseOf(name)).onsuccess = resolve;
    });
    // Newer code was rolled back, and has left the version that this code knows.
    (await openDB(databaseOf(name), VERSION, { upgrade: makeStores })).close();
    await old.queue.addJob("email", 1);
    await eventually(() => expect(old.ran).toEqual([1]));
  });

  it("lets a job that runs go, and does not stand in line for the lead again", async () => {
    const name = freshName();
    const old = open(name, { jobs: [] });
    const signal = new Promise<AbortSignal>((resolve) => {
      old.queue.on("job:hold", (_, ctx) => {
        resolve(ctx.signal);
        return new Promise(() => {});
      });
    });
    await old.queue.addJob("hold", 1);
    await old.queue.run();
    const { aborted } = { aborted: await signal };
    const newer = await openDB(databaseOf(name), NEWER);
    closers.push(() => newer.close());
    await eventually(() => expect(aborted.aborted).toBe(true));
    transition("pagehide");
    transition("pageshow");
    const late = open(name);
    await late.queue.run();
    await eventually(async () => {
      const { held = [], pending = [] } = await navigator.locks.query();
      expect([...held, ...pending].filter((lock) => lock.name === `quayside:${name}:leader`)).toEqual([]);
    });
  });

  it("leads again when the upgrade was undone", async () => {
    const name = freshName();
    const old = open(name);
    await old.queue.run();
    await old.queue.addJob("email", 1);
    await eventually(() => expect(old.ran).toEqual([1]));
    const failed = openDB(databaseOf(name), NEWER, {
      upgrade: (_database, _from, _to, transaction) => {
        transaction.done.catch(() => {});
        transaction.abort();
      },
    });
    await expect(failed).rejects.toThrow();
    await old.queue.addJob("email", 2);
    await eventually(() => expect(old.ran).toEqual([1, 2]));
  });

  it("leaves the turn of its outbox to a tab with newer code, and says so", async () => {
    const name = freshName();
    const outbox = outboxDriver({ local: indexedDbDriver({ name }), remote: memoryDriver() });
    closers.push(() => outbox.close());
    const told: unknown[] = [];
    outbox.on("error", (event) => told.push(event));
    const mail = new Queue("mail", outbox);
    await mail.addJob("email", 1);
    await eventually(async () => expect(await outbox.state()).toMatchObject({ pending: 0 }));
    const newer = await openDB(databaseOf(name), NEWER);
    closers.push(() => newer.close());
    await eventually(() =>
      expect(told).toContainEqual({
        error: expect.objectContaining({ details: expect.objectContaining({ reason: "newer_version" }) }),
        retryInMs: Number.POSITIVE_INFINITY,
      }),
    );
    await eventually(async () => {
      const { held = [], pending = [] } = await navigator.locks.query();
      expect([...held, ...pending].filter((lock) => lock.name?.startsWith(`quayside:${name}:`))).toEqual([]);
    });
  });
});

describe("an upgrade that takes longer than openTimeout", () => {
  /** An upgrade of another tab that goes on until it is let go. */
  async function slowUpgrade(name: string) {
    const first = indexedDbDriver({ name });
    await first.counts("mail");
    await first.close();
    await new Promise((resolve) => {
      indexedDB.deleteDatabase(databaseOf(name)).onsuccess = resolve;
    });
    let going = true;
    const upgraded = openDB(databaseOf(name), VERSION, {
      upgrade: (database, _from, _to, transaction) => {
        makeStores(database);
        const store = transaction.objectStore("jobs");
        const keepOpen = (): void => {
          if (going) void store.get("nothing").then(keepOpen);
        };
        keepOpen();
      },
    });
    const finish = async () => {
      going = false;
      (await upgraded).close();
    };
    closers.push(finish);
    return { finish };
  }

  it("is waited for in another tab as long as it reports progress; silence is still reported as blocked", async () => {
    const name = freshName();
    const { finish } = await slowUpgrade(name);
    const seen: unknown[] = [];
    let noticed = () => {};
    const reported = vi.fn();
    vi.stubGlobal("reportError", reported);
    const onUpgrade = (progress: unknown) => {
      seen.push(progress);
      noticed();
      throw new Error("does not undo the upgrade");
    };
    const driver = indexedDbDriver({ name, openTimeout: 300, onUpgrade });
    closers.push(() => driver.close());
    const channel = new BroadcastChannel(databaseOf(name));
    closers.push(() => channel.close());
    let end: unknown;
    const counting = driver.counts("mail").then(
      (counts) => (end = counts),
      (error: unknown) => (end = error),
    );
    // Reports follow each other for three times as long as it would wait without them.
    for (const begun = performance.now(); performance.now() - begun < 900; ) {
      const report = new Promise<void>((resolve) => {
        noticed = resolve;
      });
      channel.postMessage({ upgrading: { done: seen.length, total: 12 } });
      await report;
    }
    expect(end).toBeUndefined();
    expect(seen.length).toBeGreaterThan(5);
    expect(reported).toHaveBeenCalledTimes(seen.length);
    await counting;
    expect(end).toMatchObject({ code: "storage_unavailable", details: { reason: "blocked" } });
    await finish();
    await eventually(async () => expect(await driver.counts("mail")).toMatchObject({ waiting: 0 }));
  });
});

describe("times of 2³¹ ms and more", () => {
  it.each([2 ** 31, "5200w"] as const)("openTimeout: %s does not time out at once", async (openTimeout) => {
    const driver = indexedDbDriver({ name: freshName(), openTimeout });
    closers.push(() => driver.close());
    expect(await driver.counts("mail")).toMatchObject({ waiting: 0 });
  });

  it("the clock of the platform does not run what is that far away", async () => {
    const ran: unknown[] = [];
    const stops = [2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY].map((ms) =>
      systemClock.after(ms, () => ran.push(ms)),
    );
    // A timer that overflows fires at once, before this one.
    await new Promise<void>((resolve) => systemClock.after(20, resolve));
    expect(ran).toEqual([]);
    for (const stop of stops) stop();
  });
});

describe("storageHealth", () => {
  it.each(["?", "probe", "-probe", "reserve"])("leaves the database of a driver named %s alone", async (name) => {
    const driver = indexedDbDriver({ name });
    closers.push(() => driver.close());
    await driver.enqueue([{ queue: "mail", name: "email", payload: "1" }]);
    await storageHealth();
    expect(await exists(name)).toBe(true);
    expect((await driver.counts("mail")).waiting).toBeGreaterThan(0);
    await driver.command({ type: "clear", queue: "mail" });
  });

  it.runIf(navigator.storage as StorageManager | undefined)(
    "does not take a sandboxed frame for a private window: nothing at all can be stored there",
    async () => {
      const denied = new DOMException("denied", "SecurityError");
      vi.spyOn(navigator.storage, "getDirectory").mockRejectedValue(denied);
      vi.spyOn(IDBFactory.prototype, "open").mockImplementation(() => {
        throw denied;
      });
      expect(await storageHealth()).toMatchObject({ available: false, mode: "unknown" });
    },
  );

  it.runIf(navigator.storage as StorageManager | undefined)(
    "never throws, also where the engine does so at once",
    async () => {
      for (const method of ["persisted", "estimate", "getDirectory"] as const)
        vi.spyOn(navigator.storage, method).mockImplementation(() => {
          throw new DOMException("denied", "SecurityError");
        });
      expect(await storageHealth()).toMatchObject({ persisted: undefined, quota: undefined });
    },
  );

  it("answers where the engine never does", { timeout: 20_000 }, async () => {
    vi.spyOn(IDBFactory.prototype, "open").mockImplementation(() => ({}) as IDBOpenDBRequest);
    vi.useFakeTimers();
    const health = storageHealth();
    await vi.advanceTimersByTimeAsync(11_000);
    vi.useRealTimers();
    expect(await health).toMatchObject({ available: false });
  });
});

describe("requestBackgroundSync never rejects for what a browser lacks", () => {
  const security = () => new DOMException("denied", "SecurityError");
  const active = (postMessage: () => void = () => {}) =>
    Object.assign(new EventTarget(), { state: "activated", postMessage });
  const registrationOf = (parts: object) => parts as unknown as ServiceWorkerRegistration;

  it("where a sandboxed frame refuses even the container", async () => {
    vi.spyOn(navigator, "serviceWorker", "get").mockImplementation(() => {
      throw security();
    });
    expect(await requestBackgroundSync()).toBe("none");
  });

  it("where asking for the registration is refused", async () => {
    vi.spyOn(navigator.serviceWorker, "getRegistration").mockRejectedValue(security());
    expect(await requestBackgroundSync()).toBe("none");
  });

  it("where registering throws at once", async () => {
    const refuses = () => {
      throw security();
    };
    const registration = registrationOf({
      active: active(),
      sync: { register: refuses },
      periodicSync: { register: refuses },
    });
    expect(await requestBackgroundSync({ registration, every: "1d" })).toBe("message");
  });

  it("where the service worker cannot be sent a message", async () => {
    const registration = registrationOf({
      active: active(() => {
        throw security();
      }),
    });
    expect(await requestBackgroundSync({ registration })).toBe("none");
  });
});

describe("a manual clock", () => {
  it("steers a follower's drain as the platform's does", async () => {
    const clock = createManualClock(Date.now());
    const name = freshName();
    const [leader, follower] = [open(name, { jobs: [], clock }), open(name, { clock })];
    await leader.queue.run();
    await follower.queue.addJob("email", 1);
    await follower.queue.drain();
    expect(follower.ran).toEqual([1]);
  });
});
