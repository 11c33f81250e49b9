import { indexedDbDriver, type LiveState, liveCounts, liveJobs } from "@quayside/browser";
import { type JobCounts, memoryDriver, Queue } from "@quayside/core";
import { createManualClock } from "@quayside/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { freshName } from "./support/databases.ts";
import { OtherTab } from "./support/other-tab.ts";

interface Jobs {
  resize: { width: number };
}

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const eventually = (check: () => unknown) => vi.waitFor(check, { timeout: 10_000 });

/** A queue in memory whose time, that of its live values included, is moved by hand. */
function inMemory() {
  const clock = createManualClock();
  const driver = memoryDriver({ clock });
  return { clock, driver, queue: new Queue<Jobs>("images", driver, { clock }) };
}

/** Two queues on the same records, as two tabs have them. */
function twoTabs(clock = createManualClock()) {
  const name = freshName();
  const drivers = [indexedDbDriver({ name, clock }), indexedDbDriver({ name, clock })] as const;
  const [here, there] = drivers.map((driver) => new Queue<Jobs>("images", driver, { clock })) as [
    Queue<Jobs>,
    Queue<Jobs>,
  ];
  return { name, clock, here, there, close: () => Promise.all(drivers.map((driver) => driver.close())) };
}

const ready = (counts: Partial<JobCounts>) => ({ status: "ready", value: expect.objectContaining(counts) });

describe("a live value", () => {
  it("tells its state at once, as Svelte's stores do, and then whenever it changes", async () => {
    const { clock, queue } = inMemory();
    const states: LiveState<JobCounts>[] = [];
    const counts = liveCounts(queue, { clock });
    const stop = counts.subscribe((state) => states.push(state));
    expect(states).toEqual([{ status: "loading" }]);
    await clock.advance(0);
    await queue.addJob("resize", { width: 1 });
    await clock.advance(1_000);
    expect(states).toEqual([{ status: "loading" }, ready({ waiting: 0 }), ready({ waiting: 1 })]);
    expect(counts.getSnapshot()).toBe(states.at(-1));
    stop();
  });

  it("is the same object until something changed, and tells nobody of a read that found nothing new", async () => {
    const { clock, driver, queue } = inMemory();
    const read = vi.spyOn(driver, "counts");
    const listener = vi.fn();
    const counts = liveCounts(queue, { clock });
    counts.subscribe(listener);
    await clock.advance(0);
    const before = counts.getSnapshot();
    listener.mockClear();
    counts.refresh();
    await clock.advance(1_000);
    expect(read).toHaveBeenCalledTimes(2);
    expect(counts.getSnapshot()).toBe(before);
    expect(listener).not.toHaveBeenCalled();
  });

  it("reads only while somebody is subscribed, and leaves nothing behind", async () => {
    const { clock, driver, queue } = inMemory();
    const read = vi.spyOn(driver, "counts");
    const watched = { driver: 0, page: 0 };
    const watch = driver.watch.bind(driver);
    vi.spyOn(driver, "watch").mockImplementation((listener) => {
      watched.driver++;
      const stop = watch(listener);
      return () => {
        watched.driver--;
        stop();
      };
    });
    for (const target of [window, document]) {
      vi.spyOn(target, "addEventListener").mockImplementation(() => void watched.page++);
      vi.spyOn(target, "removeEventListener").mockImplementation(() => void watched.page--);
    }
    await queue.addJob("resize", { width: 1 }, { delay: "1h" });
    const counts = liveCounts(queue, { clock });
    counts.refresh();
    await clock.advance(1_000);
    expect(read).not.toHaveBeenCalled();

    const stops = [counts.subscribe(() => {}), counts.subscribe(() => {})];
    await clock.advance(1_000);
    expect(read).toHaveBeenCalledTimes(1);
    expect(watched).toEqual({ driver: 1, page: 2 });
    expect(clock.pending).toBe(1);
    for (const stop of [...stops, ...stops]) stop();
    expect(watched).toEqual({ driver: 0, page: 0 });
    expect(clock.pending).toBe(0);

    await queue.addJob("resize", { width: 2 });
    await clock.advance(7_200_000);
    expect(read).toHaveBeenCalledTimes(1);
    expect(counts.getSnapshot()).toEqual(ready({ delayed: 1 }));
  });

  it("reads once for a listener that comes, goes and comes again in one turn", async () => {
    const { clock, driver, queue } = inMemory();
    const read = vi.spyOn(driver, "counts");
    const counts = liveCounts(queue, { clock });
    counts.subscribe(() => {})();
    counts.subscribe(() => {});
    await clock.advance(1_000);
    expect(read).toHaveBeenCalledTimes(1);
  });

  it("has one read in flight: a burst of changes makes one more, after a rest", async () => {
    const { clock, driver, queue } = inMemory();
    const pending: (() => void)[] = [];
    const counts = driver.counts.bind(driver);
    const read = vi.spyOn(driver, "counts").mockImplementation(async (name) => {
      await new Promise<void>((resolve) => pending.push(resolve));
      return counts(name);
    });
    const live = liveCounts(queue, { clock });
    let stop = live.subscribe(() => {});
    for (let width = 0; width < 50; width++) await queue.addJob("resize", { width });
    // One that comes back finds the read of before still on its way.
    stop();
    stop = live.subscribe(() => {});
    await clock.advance(1_000);
    expect(read).toHaveBeenCalledTimes(1);

    pending.shift()?.();
    await clock.advance(1);
    expect(read).toHaveBeenCalledTimes(1);
    await clock.advance(1_000);
    expect(read).toHaveBeenCalledTimes(2);
    pending.shift()?.();
    await clock.advance(60_000);
    expect(read).toHaveBeenCalledTimes(2);
    expect(live.getSnapshot()).toEqual(ready({ waiting: 50 }));

    // What comes when nobody is there any more changes nothing, and nothing follows it.
    await queue.addJob("resize", { width: 50 }, { delay: "1h" });
    await clock.advance(1_000);
    stop();
    pending.shift()?.();
    await clock.advance(1_000);
    expect(live.getSnapshot()).toEqual(ready({ waiting: 50, delayed: 0 }));
    expect(clock.pending).toBe(0);
  });

  it("has a failed read in its state, beside what was known, until a read succeeds", async () => {
    const { clock, driver, queue } = inMemory();
    const live = liveCounts(queue, { clock });
    live.subscribe(() => {});
    const boom = new Error("boom");
    const read = vi.spyOn(driver, "counts").mockRejectedValue(boom);
    await clock.advance(0);
    expect(live.getSnapshot()).toEqual({ status: "failed", error: boom });

    read.mockRestore();
    live.refresh();
    await clock.advance(1_000);
    expect(live.getSnapshot()).toEqual(ready({ waiting: 0 }));

    vi.spyOn(driver, "counts").mockRejectedValueOnce(boom);
    await queue.addJob("resize", { width: 1 });
    await clock.advance(1_000);
    expect(live.getSnapshot()).toEqual({ ...ready({ waiting: 0 }), status: "failed", error: boom });
    expect(live.getSnapshot().error).toBe(boom);

    await queue.addJob("resize", { width: 2 });
    await clock.advance(1_000);
    expect(live.getSnapshot()).toEqual(ready({ waiting: 2 }));
  });

  it("is not kept by a listener that throws when it subscribes: it gets no function that stops it", async () => {
    const { clock, driver, queue } = inMemory();
    const read = vi.spyOn(driver, "counts");
    const live = liveCounts(queue, { clock });
    const boom = new Error("boom");
    const calls = vi.fn(() => {
      throw boom;
    });
    expect(() => live.subscribe(calls)).toThrow(boom);
    await clock.advance(1_000);
    expect(read).not.toHaveBeenCalled();
    const listener = vi.fn();
    live.subscribe(listener);
    await clock.advance(1_000);
    expect(listener).toHaveBeenLastCalledWith(ready({ waiting: 0 }));
    expect(calls).toHaveBeenCalledTimes(1);
  });

  it("has failed where it cannot be watched, and lives again with the next listener or refresh", async () => {
    const { clock, driver, queue } = inMemory();
    const boom = new Error("boom");
    const watch = vi.spyOn(driver, "watch").mockImplementation(() => {
      throw boom;
    });
    const live = liveCounts(queue, { clock });
    live.subscribe(() => {});
    expect(live.getSnapshot()).toEqual({ status: "failed", error: boom });
    live.refresh();
    expect(live.getSnapshot()).toEqual({ status: "failed", error: boom });
    watch.mockRestore();
    live.refresh();
    await clock.advance(0);
    expect(live.getSnapshot()).toEqual(ready({ waiting: 0 }));

    const other = liveCounts(queue, { clock });
    let tries = 0;
    vi.spyOn(driver, "watch").mockImplementation(() => {
      throw new Error(`boom ${++tries}`);
    });
    // Listeners that refresh at each failure do not open it without end.
    const again = () => {
      if (tries < 100 && other.getSnapshot().status === "failed") other.refresh();
    };
    const stops = [other.subscribe(again), other.subscribe(again)];
    expect(tries).toBeLessThan(10);
    vi.restoreAllMocks();
    other.refresh();
    await clock.advance(0);
    await queue.addJob("resize", { width: 1 });
    await clock.advance(1_000);
    expect(other.getSnapshot()).toEqual(ready({ waiting: 1 }));
    for (const stop of stops) stop();
  });

  // Node has no reportError: there the mistake is logged.
  it.each(["reportError", "console.error"])("keeps a listener's mistake from the others: %s gets it", async (where) => {
    const report = vi.fn();
    vi.stubGlobal("reportError", where === "reportError" ? report : undefined);
    if (where === "console.error") vi.spyOn(console, "error").mockImplementation(report);
    const { clock, queue } = inMemory();
    const live = liveCounts(queue, { clock });
    const boom = new Error("boom");
    live.subscribe(({ status }) => {
      if (status === "ready") throw boom;
    });
    const listener = vi.fn();
    live.subscribe(listener);
    await clock.advance(0);
    expect(listener).toHaveBeenLastCalledWith(ready({ waiting: 0 }));
    expect(report).toHaveBeenCalledExactlyOnceWith(boom);
  });
});

describe("liveCounts", () => {
  it("follows what other tabs do", async () => {
    const { name, here, close } = twoTabs();
    const counts = liveCounts(here);
    const stop = counts.subscribe(() => {});
    const id = await here.addJob("resize", { width: 1 });
    await eventually(() => expect(counts.getSnapshot()).toEqual(ready({ waiting: 1, active: 0 })));
    const tab = new OtherTab();
    expect(await tab.ask({ do: "claim", name, worker: "theirs", queue: "images" })).toEqual([id]);
    await eventually(() => expect(counts.getSnapshot()).toEqual(ready({ waiting: 0, active: 1 })));
    tab.crash();
    stop();
    await close();
  });

  it("counts a delayed job as waiting when it falls due, though nobody touched it", async () => {
    const { clock, queue } = inMemory();
    await queue.addJob("resize", { width: 1 }, { delay: "1m" });
    await queue.addJob("resize", { width: 1 }, { delay: "2m", priority: 1 });
    const counts = liveCounts(queue, { clock });
    counts.subscribe(() => {});
    await clock.advance(59_000);
    expect(counts.getSnapshot()).toEqual(ready({ waiting: 0, delayed: 2 }));
    await clock.advance(2_000);
    expect(counts.getSnapshot()).toEqual(ready({ waiting: 1, delayed: 1 }));
    await clock.advance(60_000);
    expect(counts.getSnapshot()).toEqual(ready({ waiting: 2, delayed: 0 }));
    expect(clock.pending).toBe(0);
  });

  it("looks again when the page is shown again, which has heard of nothing meanwhile", async () => {
    vi.stubGlobal("BroadcastChannel", undefined);
    const { clock, here, there, close } = twoTabs();
    const counts = liveCounts(here, { clock });
    const stop = counts.subscribe(() => {});
    await eventually(() => expect(counts.getSnapshot()).toEqual(ready({ waiting: 0 })));
    for (const [target, event, waiting] of [
      [window, "pageshow", 1],
      [document, "visibilitychange", 2],
    ] as const) {
      await there.addJob("resize", { width: 1 });
      await clock.advance(1_000);
      expect(counts.getSnapshot()).toEqual(ready({ waiting: waiting - 1 }));
      target.dispatchEvent(new Event(event));
      await eventually(() => expect(counts.getSnapshot()).toEqual(ready({ waiting })));
    }
    stop();
    await close();
  });
});

describe("liveJobs", () => {
  it("shows a page of jobs with their payloads; those that did not change stay the same objects", async () => {
    const { clock, queue } = inMemory();
    const live = liveJobs(queue, { limit: 2 }, { clock });
    live.subscribe(() => {});
    const [first, second] = await queue.addJobs([1, 2, 3].map((width) => ({ name: "resize", payload: { width } })));
    await clock.advance(1_000);
    const before = live.getSnapshot().value;
    expect(before?.jobs).toMatchObject([
      { id: first, payload: { width: 1 } },
      { id: second, payload: { width: 2 } },
    ]);
    expect(before?.cursor).toBeTypeOf("string");
    await queue.update(second as string, { payload: { width: 20 } });
    await clock.advance(1_000);
    const after = live.getSnapshot().value;
    expect(after?.jobs[1]?.payload).toEqual({ width: 20 });
    expect(after?.jobs[0]).toBe(before?.jobs[0]);
    expect(after?.jobs[1]).not.toBe(before?.jobs[1]);
  });

  it("shows the progress of a job that runs in another tab, without asking again and again", async () => {
    const { clock, here, there, close } = twoTabs();
    const live = liveJobs(here, { state: "active" }, { clock });
    const list = vi.spyOn(here.driver, "list");
    const stop = live.subscribe(() => {});
    let finish = () => {};
    let report: (value: number) => void = () => {};
    there.on("job:resize", async (_payload, ctx) => {
      report = ctx.progress;
      await new Promise<void>((resolve) => (finish = resolve));
    });
    await there.run();
    const id = await there.addJob("resize", { width: 1 });
    // The live value rests on this clock, and the worker reports by it: each look moves it on.
    const shows = (jobs: readonly object[]) =>
      eventually(async () => {
        await clock.advance(100);
        expect(live.getSnapshot().value?.jobs).toMatchObject(jobs);
      });
    await shows([{ id, state: "active" }]);
    report(0.5);
    await shows([{ id, progress: 0.5 }]);
    const reads = list.mock.calls.length;
    await clock.advance(5_000);
    expect(list.mock.calls.length).toBeLessThanOrEqual(reads + 1);
    finish();
    await shows([]);
    await there.stop();
    stop();
    await close();
  });

  it("of waiting jobs takes in those that fall due, of delayed ones lets them go", async () => {
    const { clock, queue } = inMemory();
    const id = await queue.addJob("resize", { width: 1 }, { delay: "1m" });
    const [waiting, delayed, all] = (["waiting", "delayed", undefined] as const).map((state) =>
      liveJobs(queue, state ? { state } : {}, { clock }),
    );
    for (const live of [waiting, delayed, all]) live?.subscribe(() => {});
    const shown = (live: typeof all) => live?.getSnapshot().value?.jobs.map((job) => `${job.id} ${job.state}`);
    await clock.advance(59_000);
    expect([waiting, delayed, all].map(shown)).toEqual([[], [`${id} delayed`], [`${id} delayed`]]);
    await clock.advance(2_000);
    expect([waiting, delayed, all].map(shown)).toEqual([[`${id} waiting`], [], [`${id} waiting`]]);
  });

  it("of a query that cannot be has the refusal in its state", async () => {
    const { clock, queue } = inMemory();
    const live = liveJobs(queue, { limit: 0 }, { clock });
    live.subscribe(() => {});
    await clock.advance(0);
    expect(live.getSnapshot()).toMatchObject({ status: "failed", error: { code: "invalid_option" } });
  });
});
