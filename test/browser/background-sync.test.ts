import { handleBackgroundSync, requestBackgroundSync } from "@quayside/browser";
import { memoryDriver, QuaysideError, Queue, QueueManager, QueueWorker } from "@quayside/core";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it, vi } from "vitest";

/** The global scope of a service worker, as far as it is used; `send` answers what the event waits for. */
class Scope extends EventTarget {
  constructor(parts: object = { serviceWorker: { state: "installing" } }) {
    super();
    Object.assign(this, parts);
  }

  send(name: string, details: object = {}): Promise<unknown> | undefined {
    let waitsFor: Promise<unknown> | undefined;
    const waitUntil = (work: Promise<unknown>) => {
      // As a browser does: a failure is its own to see.
      work.catch(() => {});
      waitsFor = work;
    };
    this.dispatchEvent(Object.assign(new Event(name), { waitUntil, ...details }));
    return waitsFor;
  }

  sync(tag = "quayside"): Promise<unknown> | undefined {
    return this.send("sync", { tag });
  }
}

function setUp({ scope = new Scope(), patience = "30s" }: { scope?: Scope; patience?: "30s" } = {}) {
  const clock = createManualClock();
  const driver = memoryDriver({ clock, random: () => 0.5 });
  const queue = new Queue<{ upload: string }>("uploads", driver, { clock, random: () => 0.5 });
  const done: string[] = [];
  let failures = 0;
  queue.on("job:upload", (file) => {
    if (failures-- > 0) throw new Error("no network");
    done.push(file);
  });
  const undo = handleBackgroundSync(queue, { scope, patience, clock });
  const fail = (times: number) => {
    failures = times;
  };
  return { clock, queue, scope, done, undo, fail };
}

describe("handleBackgroundSync", () => {
  it.each(["sync", "periodicsync"])("works the jobs on a %s of its tag, and on no other's", async (name) => {
    const { clock, queue, scope, done } = setUp();
    await queue.addJob("upload", "a");
    expect(scope.send(name, { tag: "theirs" })).toBeUndefined();
    const work = scope.send(name, { tag: "quayside" });
    await clock.advance(0);
    await work;
    expect(done).toEqual(["a"]);
  });

  it("works them when a page asks by message", async () => {
    const { clock, queue, scope, done } = setUp();
    await queue.addJob("upload", "a");
    for (const data of [null, "drain", { quayside: "drain", tag: "theirs" }])
      expect(scope.send("message", { data })).toBeUndefined();
    const work = scope.send("message", { data: { quayside: "drain", tag: "quayside" } });
    await clock.advance(0);
    await work;
    expect(done).toEqual(["a"]);
  });

  it("works them when the service worker starts, and holds up nothing by it", async () => {
    const installing = setUp();
    await installing.queue.addJob("upload", "a");
    await installing.clock.advance(0);
    expect(installing.done).toEqual([]);
    expect(installing.scope.send("activate")).toBeUndefined();
    await installing.clock.advance(0);
    expect(installing.done).toEqual(["a"]);
  });

  it.each([
    ["knows its state", { serviceWorker: { state: "activated" } }, ["a"]],
    ["knows that it is not active yet", { serviceWorker: { state: "installed" }, registration: { active: {} } }, []],
    ["knows its registration alone", { registration: { active: {}, installing: null } }, ["a"]],
    ["is perhaps the one being installed", { registration: { active: {}, installing: {} } }, []],
  ])("does so at once when it runs again, where it %s", async (_, parts, expected) => {
    const { clock, queue, done } = setUp({ scope: new Scope(parts) });
    await queue.addJob("upload", "a");
    await clock.advance(0);
    expect(done).toEqual(expected);
  });

  it("does not complain of what is left at its start: a rejection that nobody handles would fail this run", async () => {
    const { clock, queue, scope, done, fail } = setUp();
    await queue.addJob("upload", "a", { backoff: "1h" });
    fail(1);
    scope.send("activate");
    await clock.advance(0);
    expect(done).toEqual([]);
    expect(await queue.counts()).toMatchObject({ delayed: 1 });
  });

  it("waits for a job that is soon to be tried again, and the sync succeeds", async () => {
    const { clock, queue, scope, done, fail } = setUp();
    await queue.addJob("upload", "a", { backoff: "10s" });
    fail(2);
    const work = scope.sync();
    await clock.advance(15_000);
    expect(done).toEqual([]);
    await clock.advance(15_000);
    await work;
    expect(done).toEqual(["a"]);
  });

  it("fails the sync when a job is to be tried again later than that, so that the browser comes back", async () => {
    const { clock, queue, scope, done, fail } = setUp();
    await queue.addJob("upload", "a", { backoff: "10m" });
    await queue.addJob("upload", "b");
    fail(1);
    const work = scope.sync();
    await clock.advance(0);
    await expect(work).rejects.toThrow("1 jobs are to be tried again, the first in 600 s.");
    expect(done).toEqual(["b"]);
    await clock.advance(600_000);
    await scope.sync();
    expect(done).toEqual(["b", "a"]);
  });

  it("waits no longer than its patience, however soon the next attempt is each time", async () => {
    const { clock, queue, scope, fail } = setUp();
    await queue.addJob("upload", "a", { backoff: "8s", maxAttempts: 100 });
    fail(100);
    const work = scope.sync();
    // In steps, as a drain has more to do between two timers than a step of the clock lets it.
    for (let seconds = 0; seconds < 40; seconds++) await clock.advance(1_000);
    await expect(work).rejects.toThrow("to be tried again");
    expect((await queue.list()).jobs).toMatchObject([{ attempts: 4 }]);
  });

  it("does not wait again for a job that another worker took over", async () => {
    const { clock, queue, scope, fail } = setUp();
    const id = await queue.addJob("upload", "a", { backoff: "10s" });
    fail(1);
    const work = scope.sync();
    await clock.advance(1_000);
    await queue.cancel(id);
    await clock.advance(10_000);
    await work;
  });

  it("waits for a job that it took back from a worker that is gone", async () => {
    const { clock, queue, scope, done } = setUp();
    await queue.addJob("upload", "a");
    const gone = { worker: "gone", liveness: "time", leaseMs: 1_000, exchange: 1, settle: [], running: [] } as const;
    await queue.driver.exchange({ ...gone, claim: { limit: 1, queues: [{ queue: "uploads" }] } });
    const work = scope.sync();
    // It has to see the other's lease go unrenewed, and the job waits a second for its next attempt.
    for (let seconds = 0; seconds < 5; seconds++) await clock.advance(1_000);
    await work;
    expect(done).toEqual(["a"]);
  });

  it("fails each further sync while a retry is pending, whoever began it: the browser repeats only what failed", async () => {
    const { clock, queue, scope, fail } = setUp();
    await queue.addJob("upload", "a", { backoff: "10m" });
    fail(1);
    const first = scope.sync();
    await clock.advance(0);
    await expect(first).rejects.toThrow("the first in 600 s");
    await clock.advance(60_000);
    const second = scope.sync();
    await clock.advance(0);
    await expect(second).rejects.toThrow("the first in 540 s");
    // As after the browser has ended the service worker and started it again.
    const restarted = new Scope();
    const again = new Queue<{ upload: string }>("uploads", queue.driver, { clock });
    again.on("job:upload", () => {});
    handleBackgroundSync(again, { scope: restarted, clock });
    const third = restarted.sync();
    await clock.advance(0);
    await expect(third).rejects.toThrow("the first in 540 s");
  });

  it("fails the sync while a page that may be closed holds a job, and waits for its end before that", async () => {
    const { clock, queue, scope } = setUp();
    await queue.addJob("upload", "a");
    const page = {
      worker: "page",
      liveness: "time",
      leaseMs: 600_000,
      settle: [],
      running: [],
      claim: { limit: 1, queues: [{ queue: "uploads" }] },
    } as const;
    const { jobs } = await queue.driver.exchange({ ...page, exchange: 1 });
    const first = scope.sync();
    for (let seconds = 0; seconds < 32; seconds++) await clock.advance(1_000);
    await expect(first).rejects.toThrow("1 jobs are being worked elsewhere");
    const second = scope.sync();
    await clock.advance(1_000);
    const settle = jobs.map(({ token }) => ({ token, outcome: "completed" as const }));
    await queue.driver.exchange({ ...page, exchange: 2, settle, claim: { limit: 0, queues: [] } });
    await clock.advance(0);
    await second;
  });

  it("fails the sync while jobs wait for the rate limit of their queue", async () => {
    const { clock, queue, scope, done } = setUp();
    await queue.configure({ rateLimit: { max: 1, per: "1h" } });
    await queue.addJobs([
      { name: "upload", payload: "a" },
      { name: "upload", payload: "b" },
    ]);
    const work = scope.sync();
    await clock.advance(0);
    await expect(work).rejects.toThrow("1 jobs are to be tried again");
    expect(done).toEqual(["a"]);
  });

  it("fails the sync while a job of an earlier event was given back, or a page delayed one", async () => {
    const { clock, queue, scope } = setUp();
    await queue.addJob("upload", "a", { delay: "1h" });
    const work = scope.sync();
    await clock.advance(0);
    await expect(work).rejects.toThrow("the first in 3600 s");
  });

  it("succeeds where only the next occurrence of a recurrence is to come, or the queue is paused", async () => {
    const { clock, queue, scope } = setUp();
    await queue.schedule("daily", { every: "1d", name: "upload", payload: "a" });
    const work = scope.sync();
    await clock.advance(0);
    await work;
    await queue.addJob("upload", "b", { delay: "1h" });
    await queue.pause();
    const second = scope.sync();
    await clock.advance(0);
    await second;
  });

  it("asks the store of a QueueManager and of a Worker as well", async () => {
    const clock = createManualClock();
    const driver = memoryDriver({ clock, random: () => 0.5 });
    const fails = () => {
      throw new Error("no network");
    };
    const queue = new Queue<{ upload: string }>("uploads", driver, { clock });
    queue.on("job:upload", fails);
    const manager = new QueueManager<{ upload: string }>({ driver, clock });
    manager.registerJob({ name: "upload", queue: "uploads", handler: fails });
    const worker = new QueueWorker(queue);
    await queue.addJob("upload", "a", { backoff: "10m", maxAttempts: 10 });
    for (const drained of [manager, worker]) {
      const scope = new Scope();
      handleBackgroundSync(drained, { scope, clock });
      for (let sync = 0; sync < 2; sync++) {
        const work = scope.sync();
        await clock.advance(0);
        await expect(work).rejects.toThrow("1 jobs are to be tried again");
      }
    }
  });

  it("counts what it put off itself where its token may not read the store", async () => {
    const { clock, queue, scope, fail } = setUp();
    vi.spyOn(queue.driver, "counts").mockRejectedValue(new QuaysideError("forbidden", "not yours"));
    await queue.addJob("upload", "a", { backoff: "10m" });
    fail(1);
    const first = scope.sync();
    await clock.advance(0);
    await expect(first).rejects.toThrow("the first in 600 s");
  });

  it("fails the sync when a job was given back for later", async () => {
    const { clock, queue, scope } = setUp();
    queue.use(async (ctx) => ctx.release("1h"));
    await queue.addJob("upload", "a");
    const work = scope.sync();
    await clock.advance(0);
    await expect(work).rejects.toThrow("the first in 3600 s");
  });

  it("drains once for events that come at once, and once more for those that come meanwhile", async () => {
    const { clock, queue, scope, done } = setUp();
    const drain = vi.spyOn(queue, "drain");
    let finish = () => {};
    queue.use(async (_ctx, next) => {
      await new Promise<void>((resolve) => (finish = resolve));
      return next();
    });
    await queue.addJob("upload", "a");
    const first = [scope.sync(), scope.sync()];
    await clock.advance(0);
    expect(drain).toHaveBeenCalledTimes(1);
    const second = [scope.sync(), scope.sync()];
    await clock.advance(0);
    expect(drain).toHaveBeenCalledTimes(1);
    finish();
    await Promise.all([...first, ...second]);
    expect(drain).toHaveBeenCalledTimes(2);
    expect(done).toEqual(["a"]);
  });

  it("listens to its worker only while it drains", async () => {
    const { queue, scope } = setUp();
    let listening = 0;
    const on = queue.on.bind(queue) as (name: "retrying", listener: () => void) => () => void;
    vi.spyOn(queue, "on").mockImplementation((name, listener) => {
      const stop = on(name as "retrying", listener as () => void);
      listening++;
      return () => {
        listening--;
        stop();
      };
    });
    const work = scope.sync();
    await Promise.resolve();
    await Promise.resolve();
    expect(listening).toBe(3);
    await work;
    expect(listening).toBe(0);
  });

  it("is undone by the function that it returns", () => {
    const { scope, undo } = setUp();
    undo();
    expect(scope.sync()).toBeUndefined();
  });
});

describe("requestBackgroundSync", () => {
  const registrationOf = (parts: object) => parts as unknown as ServiceWorkerRegistration;
  const fakeWorker = (state = "activated") => Object.assign(new EventTarget(), { state, postMessage: vi.fn() });

  it("registers the tag, where the browser has Background Sync", async () => {
    const [active, register] = [fakeWorker(), vi.fn(async () => {})];
    const registration = registrationOf({ active, sync: { register } });
    expect(await requestBackgroundSync({ registration, tag: "mine" })).toBe("sync");
    expect(register).toHaveBeenCalledExactlyOnceWith("mine");
    expect(active.postMessage).not.toHaveBeenCalled();
  });

  it("asks for periodic syncs too, and does without where they are refused", async () => {
    const register = vi.fn().mockRejectedValue(new DOMException("no", "NotAllowedError"));
    const sync = { register: async () => {} };
    const registration = registrationOf({ active: fakeWorker(), sync, periodicSync: { register } });
    expect(await requestBackgroundSync({ registration, every: "12h" })).toBe("sync");
    expect(register).toHaveBeenCalledExactlyOnceWith("quayside", { minInterval: 43_200_000 });
  });

  it.each([
    ["has none", {}],
    ["does not allow it", { sync: { register: () => Promise.reject(new DOMException("no", "NotAllowedError")) } }],
  ])("sends a message where the browser %s", async (_, parts) => {
    const active = fakeWorker();
    expect(await requestBackgroundSync({ registration: registrationOf({ active, ...parts }) })).toBe("message");
    expect(active.postMessage).toHaveBeenCalledExactlyOnceWith({ quayside: "drain", tag: "quayside" });
  });

  it.each([
    ["activated", "message"],
    ["redundant", "none"],
  ])("waits for a service worker that is being installed to be %s", async (state, answer) => {
    const installing = fakeWorker("installing");
    const request = requestBackgroundSync({ registration: registrationOf({ installing, active: null }) });
    installing.dispatchEvent(new Event("statechange"));
    installing.state = state;
    installing.dispatchEvent(new Event("statechange"));
    expect(await request).toBe(answer);
  });

  it("does nothing where there is no service worker", async () => {
    expect(await requestBackgroundSync()).toBe("none");
    expect(await requestBackgroundSync({ registration: registrationOf({}) })).toBe("none");
    vi.spyOn(navigator, "serviceWorker", "get").mockReturnValue(undefined as never);
    expect(await requestBackgroundSync()).toBe("none");
    vi.restoreAllMocks();
  });
});
