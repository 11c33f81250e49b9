import { type Driver, everything, Queue } from "@quayside/core";
import { MemoryStore, StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { expect, it } from "vitest";

interface Jobs {
  count: number;
}

/** A driver that dies with its process: from `kill` on nothing that it was asked is ever answered. */
function mortal(driver: Driver): { readonly driver: Driver; kill(): void } {
  let dead = false;
  const never = new Promise<never>(() => {});
  const wrapped = new Proxy(driver, {
    get: (target, verb) => {
      const member = Reflect.get(target, verb);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => (dead && verb !== "watch" ? never : member.apply(target, args));
    },
  });
  return { driver: wrapped, kill: () => (dead = true) };
}

it("10,000 jobs on memory, a worker killed midway: every one is completed, none is lost", async () => {
  const jobs = 10_000;
  const clock = createManualClock();
  const store = new MemoryStore();
  const handled = new Map<number, number>();
  const doomed = mortal(new StoreDriver(store.connect(), { plugins: everything(), clock }));
  const survivor = new Queue<Jobs>("work", new StoreDriver(store.connect(), { plugins: everything(), clock }), {
    clock,
  });
  const victim = new Queue<Jobs>("work", doomed.driver, { clock });
  await survivor.addJobs(Array.from({ length: jobs }, (_, payload) => ({ name: "count", payload })));

  const killed = new Promise<void>((resolve) => {
    victim.on("job:count", async (n) => {
      handled.set(n, (handled.get(n) ?? 0) + 1);
      if (handled.size === 3_000) {
        doomed.kill();
        resolve();
      }
    });
  });
  await victim.run({ concurrency: 64 });
  await killed;
  const heldAtDeath = (await survivor.counts()).active;
  expect(heldAtDeath).toBeGreaterThan(0);

  survivor.on("job:count", (n) => {
    handled.set(n, (handled.get(n) ?? 0) + 1);
  });
  const stalled: string[] = [];
  survivor.on("stalled", ({ job }) => stalled.push(job.id));
  await survivor.run({ concurrency: 64 });
  // The dead worker's lease runs out, then its jobs wait their short backoff.
  while ((await survivor.size()) > 0) await clock.advance(1_000);
  await survivor.stop();

  const twice = [...handled.values()].filter((times) => times > 1).length;
  console.info(
    `memory: ${handled.size} of ${jobs} handled, ${heldAtDeath} held at death, ${stalled.length} taken back, ${twice} run twice`,
  );
  expect(handled.size).toBe(jobs);
  expect(stalled).toHaveLength(heldAtDeath);
  expect(twice).toBeLessThanOrEqual(heldAtDeath);
  expect(await survivor.counts()).toMatchObject({ waiting: 0, delayed: 0, active: 0, failed: 0, cancelled: 0 });
});
