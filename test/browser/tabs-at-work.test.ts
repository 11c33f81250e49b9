import { indexedDbDriver, webLockLiveness } from "@quayside/browser";
import { Queue } from "@quayside/core";
import type { JobWorker } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { freshName } from "./support/databases.ts";
import { OtherTab } from "./support/other-tab.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

type Events = Pick<Queue, "on"> | Pick<JobWorker, "on">;

const once = (source: Events, name: "completed" | "released" | "idle" | "active") =>
  new Promise<{ job?: { payload: unknown } }>((resolve) => {
    const off = (source as Queue).on(name, (event) => {
      off();
      resolve(event as { job?: { payload: unknown } });
    });
  });

const transition = (type: "pagehide" | "pageshow", persisted: boolean) =>
  dispatchEvent(new PageTransitionEvent(type, { persisted }));

describe("awaiting the death of a worker", () => {
  it("tells all who wait at once, however many, and only of those who are meant", async () => {
    const name = freshName();
    const [a, b] = [webLockLiveness(name), webLockLiveness(name)];
    const { leave } = await webLockLiveness(name).register("theirs");
    const { leave: stay } = await webLockLiveness(name).register("stays");
    const deaths = [a, b].map((one) => new Promise<void>((resolve) => one.onPeerExit(["theirs", "stays"], resolve)));
    const spared = webLockLiveness(name);
    const told = vi.fn();
    spared.onPeerExit(["theirs"], told);
    spared.onPeerExit([], told);
    leave();
    await Promise.all(deaths);
    expect(await a.deadWorkers([{ worker: "theirs", liveness: "lock" }])).toEqual(new Set(["theirs"]));
    expect(told).not.toHaveBeenCalled();
    stay();
  });

  it("R10: an idle worker learns at once that a tab died whose lease it had no reason to look at", async () => {
    const name = freshName();
    const clock = createManualClock(Date.now());
    const driver = indexedDbDriver({ name, clock });
    const queue = new Queue<{ email: number }>("mail", driver, { clock });
    queue.on("job:email", (number) => number);
    const idle = once(queue, "idle");
    await queue.run();
    await idle;
    // A queue that is not its own: nothing that happens there wakes it, and its clock stands still.
    const [receipt] = await driver.enqueue([{ queue: "push", name: "push", payload: "1" }]);
    const other = new OtherTab();
    const claimed = new Promise<void>((resolve) => driver.watch(({ kind }) => kind === "active" && resolve()));
    expect(await other.ask({ do: "claim", name, worker: "theirs", queue: "push" })).toHaveLength(1);
    // What a tab announces is posted in a task of its own: one that dies before has told nobody.
    await claimed;
    const stalled = new Promise<{ job: { id: string } }>((resolve) => queue.on("stalled", resolve));
    other.crash();
    expect((await stalled).job.id).toBe(receipt?.id);
    await queue.stop();
    await driver.close();
  });
});

describe.each([true, false])("a page that is hidden for good or for a while (persisted: %s)", (persisted) => {
  it("R14: aborts its handlers and gives their jobs back, not counted; R8: shown again it works on as a new worker", async () => {
    const name = freshName();
    const driver = indexedDbDriver({ name });
    const queue = new Queue<{ email: number }>("mail", driver);
    const signals: AbortSignal[] = [];
    let hold = true;
    queue.on("job:email", (_, ctx) => {
      signals.push(ctx.signal);
      return hold ? new Promise(() => {}) : "done";
    });
    const active = once(queue, "active");
    await queue.addJob("email", 1, { id: "one" });
    await queue.run();
    await active;
    const released = once(queue, "released");
    transition("pagehide", persisted);
    expect(signals[0]?.aborted).toBe(true);
    await released;
    expect(await queue.get("one")).toMatchObject({ state: "waiting", attempts: 0, interruptions: 0 });

    hold = false;
    const completed = once(queue, "completed");
    transition("pageshow", persisted);
    await completed;
    expect(await queue.get("one")).toMatchObject({ state: "completed", attempts: 1 });
    await queue.stop({ timeout: 0 });
    await driver.close();
  });
});

describe("tabs: leader", () => {
  const open = (name: string) => {
    const clock = createManualClock(Date.now());
    const driver = indexedDbDriver({ name, clock, tabs: "leader" });
    const queue = new Queue<{ email: number }>("mail", driver, { clock });
    const ran: number[] = [];
    queue.on("job:email", (number) => ran.push(number));
    return { clock, driver, queue, ran };
  };

  it("refuses any other word", () => {
    expect(() => indexedDbDriver({ name: freshName(), tabs: "some" as never })).toThrow(
      expect.objectContaining({ code: "invalid_option", details: { option: "tabs" } }),
    );
  });

  it("a follower adds, and the leader works; when the leader stops, the follower leads", async () => {
    const name = freshName();
    const [leader, follower] = [open(name), open(name)];
    const leading = once(leader.queue, "idle");
    await leader.queue.run();
    await leading;
    await follower.queue.run();
    const first = once(leader.queue, "completed");
    await follower.queue.addJob("email", 1);
    await first;
    const second = once(follower.queue, "completed");
    await leader.queue.stop();
    await follower.queue.addJob("email", 2);
    await second;
    expect([leader.ran, follower.ran]).toEqual([[1], [2]]);
    await follower.queue.stop();
    await Promise.all([leader.driver.close(), follower.driver.close()]);
  });

  it("a leader that answers is not displaced, however long it leads", async () => {
    const name = freshName();
    const [leader, follower] = [open(name), open(name)];
    const leading = once(leader.queue, "idle");
    await leader.queue.run();
    await leading;
    await follower.queue.run();
    const channel = new BroadcastChannel(`quayside:${name}:leader`);
    for (let asks = 0; asks < 12; asks++) {
      const answered = new Promise<void>((resolve) => {
        channel.onmessage = ({ data }) => data === "here" && resolve();
      });
      await follower.clock.advance(10_000);
      await answered;
    }
    channel.close();
    const done = once(leader.queue, "completed");
    await follower.queue.addJob("email", 1);
    await done;
    expect([leader.ran, follower.ran]).toEqual([[1], []]);
    await Promise.all([leader.queue.stop(), follower.queue.stop()]);
    await Promise.all([leader.driver.close(), follower.driver.close()]);
  });

  it("where there are no Web Locks every tab works", async () => {
    vi.spyOn(navigator, "locks", "get").mockReturnValue(undefined as never);
    const name = freshName();
    const both = [open(name), open(name)];
    for (const { queue } of both) {
      const idle = once(queue, "idle");
      await queue.run();
      await idle;
    }
    for (const { queue } of both) await queue.stop();
    for (const { driver } of both) await driver.close();
  });
});
