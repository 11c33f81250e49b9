import { defineJob, defineJobs, memoryDriver, Queue, QueueManager } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { Queue as MiniQueue } from "@quayside/core/mini";
import { createManualClock, testQueue } from "@quayside/testing";
import { describe, expect, it } from "vitest";

const jobs = defineJobs({ remind: defineJob<{ who: string }>({ maxAttempts: 3, backoff: "1m" }) });

describe("testQueue", () => {
  it("drain() runs a job through its retries, and the time passes by the clock alone", async () => {
    const { queue, clock, drain } = testQueue({ jobs });
    const tried: number[] = [];
    queue.on("job:remind", () => {
      tried.push(clock.now());
      throw new Error("no");
    });
    const id = await queue.addJob("remind", { who: "ada" }, { delay: "1d" });
    const start = clock.now();
    await drain();
    expect(tried[0]).toBe(start + 86_400_000);
    expect(tried).toHaveLength(3);
    expect(await queue.get(id)).toMatchObject({ state: "failed", attempts: 3, finishedAt: clock.now() });
  });

  it("advance() works each job when it is due, and moves the clock by exactly the duration", async () => {
    const { queue, clock, advance } = testQueue({ jobs, start: 0 });
    const seen: [who: string, at: number][] = [];
    queue.on("job:remind", ({ who }) => void seen.push([who, clock.now()]));
    await queue.addJob("remind", { who: "soon" }, { delay: "1s" });
    await queue.addJob("remind", { who: "later" }, { delay: "1h" });
    await advance("999ms");
    expect(seen).toEqual([]);
    await advance("5s");
    expect(seen).toEqual([["soon", 1_000]]);
    expect(clock.now()).toBe(5_999);
    await advance("1h");
    expect(seen[1]).toEqual(["later", 3_600_000]);
    expect(clock.now()).toBe(3_605_999);
  });

  it("takes the options of a queue, and a duration up to which to drain", async () => {
    const { queue, clock, drain } = testQueue<{ tick: null }, { db: string }>({ name: "mail", ctx: { db: "db" } });
    expect(queue.name).toBe("mail");
    const seen: string[] = [];
    queue.on("job:tick", (_, { db }) => void seen.push(db));
    await queue.schedule("often", { every: "1m", name: "tick", payload: null });
    const start = clock.now();
    await drain({ until: "10m" });
    expect(seen).toHaveLength(10);
    expect(clock.now() - start).toBe(600_000);
  });
});

describe("a queue takes its driver's clock", () => {
  it("for timeouts and waits, unless it is given one", async () => {
    const clock = createManualClock();
    const driver = memoryDriver({ clock });
    for (const queue of [
      new Queue("mail", driver),
      new QueueManager({ driver }).queue("mail"),
      new Queue("mail", driver, { clock: undefined }),
    ]) {
      const waited = queue.waitFor(await queue.addJob("email", null, { delay: "1d" }), { timeout: "1h" });
      const refused = expect(waited).rejects.toMatchObject({ code: "timeout" });
      await clock.advance("2h");
      await refused;
    }
    const own = createManualClock();
    const other = new Queue("mail", driver, { clock: own });
    const waited = other.waitFor(await other.addJob("email", null, { delay: "1d" }), { timeout: "1h" });
    const refused = expect(waited).rejects.toMatchObject({ code: "timeout" });
    await own.advance("1h");
    await refused;
  });

  it("and availableAt counts from it, in the mini preset too", async () => {
    const clock = createManualClock(1_000);
    const queue = new MiniQueue("mail", memoryDriver({ clock }));
    const id = await queue.addJob("email", null, { availableAt: 61_000 });
    expect(await queue.get(id)).toMatchObject({ state: "delayed", availableAt: 61_000 });
    // A driver without a clock leaves the system's.
    expect(new Queue("mail", httpDriver({ url: "https://api.example" })).name).toBe("mail");
  });
});
