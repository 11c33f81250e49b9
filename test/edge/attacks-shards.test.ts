import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { QuaysideError, Queue, systemClock } from "@quayside/core";
import { shardedDriver, shardOfKey } from "@quayside/edge";
import { createManualClock, type ManualClock } from "@quayside/testing";
import { afterEach, describe, expect, inject, it } from "vitest";
import { type Fault, faulty } from "./faulty-shards.ts";

afterEach(reset);

/** Rows of attacks on a queue over four objects of which some are at fault, with what came of them. */

let opened = 0;
const SHARDS = 4;

function idsIn(shard: number, count: number): string[] {
  const ids: string[] = [];
  for (let n = 0; ids.length < count; n++) if (shardOfKey(`job-${n}`, SHARDS) === shard) ids.push(`job-${n}`);
  return ids;
}

async function open(each: number) {
  const name = `attacked-${opened++}`;
  const clock = createManualClock();
  const faults = faulty(env.BARE_QUEUE, name);
  const producer = new Queue(name, shardedDriver(env.BARE_QUEUE, name, { shards: SHARDS }));
  const ids = [0, 1, 2, 3].flatMap((shard) => idsIn(shard, each));
  if (each > 0) await producer.addJobs(ids.map((id) => ({ name: "email", payload: null, id })));
  const driver = shardedDriver(faults.namespace, name, { shards: SHARDS, clock });
  const worker = new Queue(name, driver, { clock });
  const began: string[] = [];
  const completed: string[] = [];
  const errors: string[] = [];
  const gate = Promise.withResolvers<void>();
  worker.on("error", ({ error }) => errors.push(error instanceof QuaysideError ? error.code : String(error)));
  worker.on("completed", ({ job }) => completed.push(job.id));
  const tell = (call: Promise<unknown>) => {
    const seen = { what: "pending" };
    void call.then(
      () => {
        seen.what = "done";
      },
      (error) => {
        seen.what = error instanceof QuaysideError ? error.code : String(error);
      },
    );
    return seen;
  };
  const counts = async () => {
    const { waiting, active, completed, failed } = await producer.counts();
    return `w${waiting} a${active} c${completed} f${failed}`;
  };
  return { name, clock, faults, producer, driver, worker, began, completed, errors, gate, tell, counts, ids };
}

/** Moves time on until it is so, or for so long. */
async function until(clock: ManualClock, ms: number, isSo: () => boolean): Promise<void> {
  const end = clock.monotonic() + ms;
  while (clock.monotonic() < end && !isSo()) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    await clock.advance(Math.max(5, ms / 60));
  }
}

const slow =
  (clock: ManualClock): Fault =>
  async (call) => {
    await new Promise<void>((resolve) => void clock.after(3_000, resolve));
    return call();
  };
const FAULTS: Readonly<Record<string, (clock: ManualClock) => Fault>> = {
  throws: () => "throws",
  hangs: () => "hangs",
  "loses its answers": () => "loses",
  "is slow": slow,
  "answers with nothing": () => async () => undefined,
  "answers with an error of its own": () => async () => {
    throw new RangeError("odd");
  },
  "throws nothing": () => () => Promise.reject(undefined),
  "throws every other time": () => {
    let times = 0;
    return async (call) => {
      if (times++ % 2 === 0) throw Object.assign(new Error("overloaded"), { overloaded: true, remote: true });
      return call();
    };
  },
};

// The rest at night: each row moves minutes of time.
const rows = Object.keys(FAULTS)
  .slice(0, inject("hostile").nightly ? undefined : 5)
  .map((fault, index) => [fault, index % 2 === 0 ? 3 : 0] as const);
const faultOf = (name: string, clock: ManualClock) => (FAULTS[name] as (clock: ManualClock) => Fault)(clock);

describe("attacks S: jobs that run when a shard begins to be at fault", () => {
  it.each(rows)("one that %s, %i: each ends once, is told of once, and is stored in the end", async (fault, shard) => {
    const { clock, faults, worker, began, completed, gate, counts } = await open(2);
    worker.on("job:email", async (_, { id }) => {
      began.push(id);
      await gate.promise;
    });
    await worker.run({ concurrency: 8 });
    await until(clock, 1_000, () => began.length === 8);
    faults.set(shard, faultOf(fault, clock));
    gate.resolve();
    await until(clock, 8_000, () => false);
    faults.set(shard, undefined);
    // An end that is stored there is reported only after the shard has answered.
    for (let look = 0; look < 30 && !(completed.length >= 8 && (await counts()).startsWith("w0 a0")); look++)
      await until(clock, 4_000, () => false);
    expect([new Set(began).size, new Set(completed).size, await counts()]).toEqual([8, 8, "w0 a0 c8 f0"]);
    expect([began.length, completed.length]).toEqual([8, 8]);
    await stopped(worker, clock);
  });
});

async function stopped(worker: Queue, clock: ManualClock): Promise<string> {
  const seen = { what: "pending" };
  void worker.stop().then(
    () => {
      seen.what = "stopped";
    },
    (error) => {
      seen.what = String(error);
    },
  );
  await until(clock, 60_000, () => seen.what !== "pending");
  return seen.what;
}

describe("attacks S: stop() and leave beside a shard at fault", () => {
  it.each(rows)(
    "one that %s, %i: it comes to its end, and healthy shards have nothing active",
    async (fault, shard) => {
      const { clock, faults, worker, producer, began, gate } = await open(1);
      worker.on("job:email", async (_, { id, signal }) => {
        began.push(id);
        await Promise.race([gate.promise, new Promise((resolve) => signal.addEventListener("abort", resolve))]);
      });
      await worker.run({ concurrency: 4 });
      await until(clock, 1_000, () => began.length === 4);
      faults.set(shard, faultOf(fault, clock));
      await until(clock, 3_000, () => false);
      gate.resolve();
      expect(await stopped(worker, clock)).toBe("stopped");
      faults.set(shard, undefined);
      const { active, completed } = await producer.counts();
      expect([active <= 1, completed >= 3]).toEqual([true, true]);
    },
  );
});

/** Drains twice, the second time with the shard well. */
async function drains(fault: string, shard: number): Promise<void> {
  const { name, clock, faults, worker, tell, counts } = await open(2);
  worker.on("job:email", () => {});
  faults.set(shard, faultOf(fault, clock));
  const drained = tell(worker.drain());
  await until(clock, 5_000, () => drained.what !== "pending");
  faults.set(shard, undefined);
  if (drained.what === "pending") await until(clock, 90_000, () => drained.what !== "pending");
  expect(drained.what).not.toBe("pending");
  await until(clock, 40_000, () => false);
  for (const shard of [0, 1, 2, 3])
    await env.BARE_QUEUE.getByName(shard === 0 ? name : `${name}#${shard}`).advance(40_000);
  const again = tell(worker.drain());
  await until(clock, 90_000, () => again.what !== "pending");
  expect([again.what, await counts()]).toEqual(["done", "w0 a0 c8 f0"]);
}

describe("attacks S: drain() beside a shard at fault", () => {
  it.each(rows)("one that %s, %i: it ends by itself or once the shard is well, with all done", drains);
});

describe("attacks S: verbs while a shard throws", () => {
  type Verb = (queue: Queue, ids: { readonly here: string; readonly there: string }) => Promise<unknown>;
  const verbs: readonly (readonly [string, string, Verb])[] = [
    ["counts", "network", (queue) => queue.counts()],
    ["list", "network", (queue) => queue.list()],
    ["get of the other shard", "done", (queue, { there }) => queue.get(there)],
    ["get of this shard", "network", (queue, { here }) => queue.get(here)],
    ["cancel in the other shard", "done", (queue, { there }) => queue.cancel(there)],
    ["cancel in this shard", "network", (queue, { here }) => queue.cancel(here)],
    ["pause", "network", (queue) => queue.pause()],
    ["resume", "network", (queue) => queue.resume()],
    ["clear", "network", (queue) => queue.clear()],
    ["retryAll", "network", (queue) => queue.retryAll()],
    ["schedules", "network", (queue) => queue.schedules()],
    ["an add to the other", "done", (queue, { there }) => queue.addJob("email", null, { id: `${there}`, delay: "1h" })],
    ["an add to this", "network", (queue, { here }) => queue.addJob("email", null, { id: here })],
    ["an add of no jobs", "done", (queue) => queue.addJobs([])],
    ["configure of keep", "network", (queue) => queue.configure({ keep: { completed: 1 } })],
    ["configure of maxActive", "invalid_option", (queue) => queue.configure({ maxActive: 3 })],
  ];
  it.each(verbs)("%s: %s", async (_, came, verb) => {
    const { name, faults, producer } = await open(1);
    const queue = new Queue(name, shardedDriver(faults.namespace, name, { shards: SHARDS, clock: systemClock }));
    faults.set(2, "throws");
    const ids = { here: idsIn(2, 1)[0] as string, there: idsIn(1, 1)[0] as string };
    const got = await verb(queue, ids).then(
      () => "done",
      (error) => (error instanceof QuaysideError ? error.code : String(error)),
    );
    expect(got).toBe(came);
    faults.set(2, undefined);
    // Nothing of what failed stays in the way.
    const { waiting, delayed, cancelled } = await producer.counts();
    expect(waiting + delayed + cancelled).toBeGreaterThanOrEqual(_ === "clear" ? 1 : 4);
  });
});
