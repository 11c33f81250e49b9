import { IndexedDbStore, indexedDbDriver, webLockLiveness } from "@quayside/browser";
import type { Change } from "@quayside/core/engine";
import { afterEach, describe, expect, it, vi } from "vitest";
import { freshName } from "./support/databases.ts";
import { OtherTab } from "./support/other-tab.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

const eventually = (check: () => unknown) => vi.waitFor(check, { timeout: 10_000 });

/** Not a timer: some cases stop those. */
const turnOfTheEventLoop = () =>
  new Promise<void>((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });

const lock = (worker: string) => ({ worker, liveness: "lock" }) as const;

describe("announcements", () => {
  it("reach the other tabs that use the same name, and not the one that made them", async () => {
    const name = freshName();
    const ready: Change = { queue: "mail", kind: "ready" };
    const settings: Change = { queue: "mail", kind: "settings" };
    const store = new IndexedDbStore({ name });
    const stranger = new IndexedDbStore({ name: freshName() });
    const heard: Change[] = [];
    const misheard: Change[] = [];
    stranger.watch((changes) => misheard.push(...changes));
    store.watch((changes) => heard.push(...changes));
    const tab = new OtherTab();
    await tab.ask({ do: "watch", name });

    await eventually(() => {
      // Again each time: Chromium drops what is sent while a channel that was just made in a worker is still connecting.
      store.announce([ready]);
      expect(tab.heard).toContainEqual(ready);
    });
    await tab.ask({ do: "announce", name, changes: [settings, ready] });
    await eventually(() => expect(heard).toEqual([settings, ready]));
    expect(misheard).toEqual([]);

    tab.crash();
    await Promise.all([store.close(), stranger.close()]);
  });

  it("stop for who stops watching, and only for him", async () => {
    const name = freshName();
    const [from, to] = [new IndexedDbStore({ name }), new IndexedDbStore({ name })];
    const heard: string[] = [];
    const listener = (changes: readonly Change[]) => heard.push(...changes.map((change) => change.queue));
    const stop = to.watch(listener);
    to.watch(listener);
    stop();
    stop();
    from.announce([{ queue: "mail", kind: "ended" }]);
    await eventually(() => expect(heard).toEqual(["mail"]));
    await Promise.all([from.close(), to.close()]);
  });

  it("that follow each other closely go together, and each is said once", async () => {
    const name = freshName();
    const [from, to] = [new IndexedDbStore({ name }), new IndexedDbStore({ name })];
    const messages: (readonly Change[])[] = [];
    to.watch((changes) => messages.push(changes));
    const ready: Change = { queue: "mail", kind: "ready" };
    const last: Change = { queue: "mail", kind: "ended" };
    const announceInTurns = async () => {
      for (let turn = 0; turn < 100; turn++) {
        from.announce([ready, { queue: "mail", kind: "active", by: "a" }]);
        await turnOfTheEventLoop();
      }
      from.announce([last]);
    };
    const start = performance.now();
    await announceInTurns();
    const took = performance.now() - start;
    await eventually(() => expect(messages.flat()).toContainEqual(last));
    // The first goes at once, and one a pause after it.
    expect(messages[0]).toEqual([ready, { queue: "mail", kind: "active", by: "a" }]);
    expect(messages.length).toBeLessThanOrEqual(2 + Math.ceil(took / 10));
    for (const changes of messages) expect(new Set(changes.map(({ kind }) => kind)).size).toBe(changes.length);
    await Promise.all([from.close(), to.close()]);
  });

  it("of a hidden page wait for no timer", async () => {
    const name = freshName();
    const [from, to] = [new IndexedDbStore({ name }), new IndexedDbStore({ name })];
    const heard: string[] = [];
    to.watch((changes) => heard.push(...changes.map((change) => change.queue)));
    from.announce([{ queue: "first", kind: "ready" }]);
    await eventually(() => expect(heard).toEqual(["first"]));
    vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    vi.spyOn(globalThis, "setTimeout").mockReturnValue(0 as never);
    for (const queue of ["second", "third"]) {
      from.announce([{ queue, kind: "ready" }]);
      for (let turn = 0; turn < 1_000 && !heard.includes(queue); turn++) await turnOfTheEventLoop();
    }
    vi.restoreAllMocks();
    expect(heard).toEqual(["first", "second", "third"]);
    await Promise.all([from.close(), to.close()]);
  });

  it("are not missed where there is no BroadcastChannel, nor is anything thrown", async () => {
    vi.stubGlobal("BroadcastChannel", undefined);
    const store = new IndexedDbStore({ name: freshName() });
    store.watch(() => {})();
    store.announce([{ queue: "mail", kind: "ready" }]);
    await store.close();
    vi.unstubAllGlobals();
  });
});

describe("a worker", () => {
  it("is alive from its enlisting on, until it leaves", async () => {
    const { register, deadWorkers } = webLockLiveness(freshName());
    expect(await deadWorkers([lock("a"), lock("b")])).toEqual(new Set(["a", "b"]));
    const [a, b] = await Promise.all([register("a"), register("b")]);
    expect([a.liveness, b.liveness]).toEqual(["lock", "lock"]);
    expect(await deadWorkers([lock("a"), lock("b")])).toEqual(new Set());
    a.leave();
    await eventually(async () => expect(await deadWorkers([lock("a"), lock("b")])).toEqual(new Set(["a"])));
    b.leave();
  });

  it("of another name is another worker", async () => {
    const [mine, theirs] = [webLockLiveness(freshName()), webLockLiveness(freshName())];
    const { leave } = await mine.register("a");
    expect(await theirs.deadWorkers([lock("a")])).toEqual(new Set(["a"]));
    leave();
  });

  it("in another tab is alive until that crashes, and dead at once then", async () => {
    const name = freshName();
    const { deadWorkers } = webLockLiveness(name);
    const tab = new OtherTab();
    expect(await tab.ask({ do: "register", name, worker: "theirs" })).toBe("lock");
    expect(await deadWorkers([lock("theirs")])).toEqual(new Set());
    tab.crash();
    await eventually(async () => expect(await deadWorkers([lock("theirs")])).toEqual(new Set(["theirs"])));
  });

  it("in a frame is dead when the frame is removed", async () => {
    const name = freshName();
    const frame = document.body.appendChild(document.createElement("iframe"));
    const there = frame.contentWindow as Window;
    await new Promise<void>((held) => {
      there.navigator.locks.request(`quayside:${name}:theirs`, () => {
        held();
        return new Promise(() => {});
      });
    });
    const { deadWorkers } = webLockLiveness(name);
    expect(await deadWorkers([lock("theirs")])).toEqual(new Set());
    frame.remove();
    await eventually(async () => expect(await deadWorkers([lock("theirs")])).toEqual(new Set(["theirs"])));
  });

  it("that lives by time is never known to be dead", async () => {
    expect(await webLockLiveness(freshName()).deadWorkers([{ worker: "a", liveness: "time" }])).toEqual(new Set());
  });

  it("lives by time where there are no Web Locks, and nobody is known to be dead", async () => {
    vi.spyOn(navigator, "locks", "get").mockReturnValue(undefined as never);
    const { register, deadWorkers } = webLockLiveness(freshName());
    const { liveness, leave } = await register("a");
    leave();
    expect(liveness).toBe("time");
    expect(await deadWorkers([lock("a"), lock("b")])).toEqual(new Set());
  });

  it("lives by time where the page may not use its locks", async () => {
    const denied = new DOMException("denied", "SecurityError");
    vi.spyOn(navigator.locks, "request").mockRejectedValue(denied);
    vi.spyOn(navigator.locks, "query").mockRejectedValue(denied);
    const { register, deadWorkers } = webLockLiveness(freshName());
    expect((await register("a")).liveness).toBe("time");
    expect(await deadWorkers([lock("a")])).toEqual(new Set());
  });
});

describe("indexedDbDriver", () => {
  it("registers its workers with the name's locks", async () => {
    const name = freshName();
    const driver = indexedDbDriver({ name });
    const { liveness, leave } = await driver.register("a");
    expect(liveness).toBe("lock");
    expect(await webLockLiveness(name).deadWorkers([lock("a")])).toEqual(new Set());
    leave();
    await driver.close();
  });

  it("takes back what a crashed tab was working on, long before its lease ends", async () => {
    const name = freshName();
    const driver = indexedDbDriver({ name });
    const [receipt] = await driver.enqueue([{ queue: "mail", name: "email", payload: "1" }]);
    const id = receipt?.id as string;
    const tab = new OtherTab();
    expect(await tab.ask({ do: "claim", name, worker: "theirs", queue: "mail" })).toEqual([id]);
    let exchange = 0;
    const look = async () => {
      await driver.exchange({
        worker: "mine",
        liveness: "time",
        leaseMs: 30_000,
        exchange: ++exchange,
        settle: [],
        running: [],
        claim: { limit: 0, queues: [{ queue: "mail" }] },
      });
      return driver.get("mail", id);
    };
    expect(await look()).toMatchObject({ state: "active", interruptions: 0 });
    tab.crash();
    await eventually(async () => expect(await look()).toMatchObject({ interruptions: 1 }));
    await driver.close();
  });
});
