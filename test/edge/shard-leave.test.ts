import { createManualClock, type ManualClock } from "@quayside/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Fault } from "./faulty-shards.ts";
import { closeAll, faultOf, open, until } from "./shards-at-fault.ts";

afterEach(closeAll);

/** Faults by which a shard leases jobs to a worker that does not learn of it. */
const FAULTS: Readonly<Record<string, (clock: ManualClock) => Fault>> = {
  "loses its answers": () => "loses",
  "does all and never answers": () => async (call) => {
    await call();
    return new Promise(() => {});
  },
  "is slow": faultOf["is slow"],
};

describe.each(Object.entries(FAULTS))("a worker leaves beside a shard that %s", (fault, faultFor) => {
  it.each([["drain()"], ["stop()"]] as const)(
    "by %s: what the shard has leased to it is given back, without another worker or a lease's end",
    async (way) => {
      const clock = createManualClock();
      const { remote, faults, alone, name } = await open(2);
      const { worker, errors } = remote(clock);
      faults.set(2, faultFor(clock));
      let over = false;
      if (way === "stop()") {
        await worker.run();
        await until(clock, 100, () => errors.length > 0);
      }
      const left = way === "stop()" ? worker.stop() : worker.drain();
      void left.then(() => {
        over = true;
      });
      await until(clock, 100, () => over);
      const began = clock.monotonic();
      const shard = alone(2);
      // A slow one may not have come to it yet.
      if (fault !== "is slow") expect(await shard.counts(name)).toMatchObject({ active: 2, waiting: 0 });
      faults.set(2, undefined);
      await until(clock, 100, () => clock.monotonic() > began + 4_000);
      for (let look = 0; look < 100 && (await shard.counts(name)).active > 0; look++) await clock.advance(500);
      expect(await shard.counts(name)).toMatchObject({ active: 0, waiting: 2 });
      expect(clock.monotonic() - began).toBeLessThan(40_000);
    },
  );
});

describe("a worker that has left", () => {
  it("asks a shard that stays silent for no longer than a minute", async () => {
    const clock = createManualClock();
    const { remote, faults } = await open(1);
    const { worker } = remote(clock);
    faults.set(1, "throws");
    let over = false;
    void worker.drain().then(() => {
      over = true;
    });
    await until(clock, 100, () => over);
    await until(clock, 1_000, () => clock.monotonic() > 70_000);
    const asked = faults.exchangesWith(1);
    await until(clock, 1_000, () => clock.monotonic() > 200_000);
    expect(faults.exchangesWith(1)).toBe(asked);
  });

  it("asks no shard any more once its driver is closed", async () => {
    const clock = createManualClock();
    const { remote, faults } = await open(1);
    const { worker } = remote(clock);
    faults.set(1, "throws");
    let over = false;
    void worker.drain().then(() => {
      over = true;
    });
    await until(clock, 100, () => over);
    await closeAll();
    const asked = faults.exchangesWith(1);
    await clock.advance(60_000);
    expect(faults.exchangesWith(1)).toBe(asked);
  });

  it("over HTTP gives back what a shard has leased to it whose answer was lost", async () => {
    const { remote, faults, alone, name } = await open(1);
    const { worker } = remote("HTTP");
    faults.set(1, "loses");
    await worker.drain();
    expect(await alone(1).counts(name)).toMatchObject({ active: 1, waiting: 0 });
    faults.set(1, undefined);
    await vi.waitFor(async () => expect(await alone(1).counts(name)).toMatchObject({ active: 0, waiting: 1 }), {
      timeout: 5_000,
      interval: 50,
    });
  });
});
