import { everything } from "@quayside/core";
import { attentionAt, MemoryStore, type NewJob, Plugins, StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";

/** What a Durable Object arms its alarm by: when anything in the store next needs a process to be awake. */
describe("attentionAt", () => {
  const job = (options: Partial<NewJob>): NewJob => ({ queue: "mail", name: "email", payload: "1", ...options });

  const open = () => {
    const clock = createManualClock();
    const store = new MemoryStore();
    const inMs = async (): Promise<number | undefined> => {
      const at = await store.transact(() => attentionAt(clock.now(), new Plugins(everything())));
      return at === undefined ? undefined : at - clock.now();
    };
    return { clock, inMs, driver: new StoreDriver(store.connect(), { plugins: everything(), clock }) };
  };

  it("is never in an empty store, and now with a job that is due", async () => {
    const { inMs, driver } = open();
    expect(await inMs()).toBeUndefined();
    await driver.enqueue([job({})]);
    expect(await inMs()).toBe(0);
  });

  it("is the first instant of any queue, whatever its name and the priority of its jobs", async () => {
    const { inMs, driver } = open();
    await driver.enqueue([
      job({ queue: "a", delayMs: 9_000 }),
      job({ queue: "b/c", delayMs: 4_000, priority: -5 }),
      job({ queue: "z", delayMs: 6_000, priority: 5 }),
    ]);
    expect(await inMs()).toBe(4_000);
    await driver.command({ type: "pause", queue: "b/c" });
    expect(await inMs()).toBe(6_000);
  });

  it("is the end of the lease of what runs, and once that has run out a third of a lease from now", async () => {
    const { clock, inMs, driver } = open();
    await driver.enqueue([job({})]);
    const claim = { limit: 1, queues: [{ queue: "mail" }] };
    await driver.exchange({
      worker: "w",
      liveness: "time",
      leaseMs: 30_000,
      exchange: 1,
      settle: [],
      running: [],
      claim,
    });
    expect(await inMs()).toBe(30_000);
    await clock.advance(30_001);
    expect(await inMs()).toBe(10_000);
  });
});
