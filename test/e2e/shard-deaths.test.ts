import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Queue } from "@quayside/core";
import { type HttpDriver, httpDriver } from "@quayside/core/http";
import { shardOfKey } from "@quayside/edge/shards";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Plan, Step } from "../edge/crash-plan.ts";
import { Runtime, type Workerd } from "./support/workerd.ts";

/** Until all is done again, on a busy machine. */
const BACK_MS = 45_000;
const SHARDS = 4;
const WORKERS = 2;

type Jobs = { note: null };

let runtime: Runtime;
let server: Workerd;
let folder: string;
const drivers: HttpDriver[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quayside-shard-deaths-"));
  runtime = await Runtime.bundle("../../edge/wrangler.crash.jsonc", folder);
});
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
beforeEach(async () => {
  server = await runtime.start();
});
afterEach(async () => {
  await Promise.all(drivers.splice(0).map((driver) => driver.close()));
  await server.kill();
});

let opened = 0;

/** A queue over four objects on disk, with so many jobs in each, and two workers of it in this process. */
async function open(each: number) {
  const name = `split-${opened++}`;
  const connect = () => {
    // The process that comes back has another address.
    const toServer: typeof fetch = (url, init) => fetch(`${server.url}${url}`, init);
    const driver = httpDriver({
      url: "http://shards",
      token: "token",
      fetch: (url, init) => toServer(path(url), init),
    });
    drivers.push(driver);
    return new Queue<Jobs>(name, driver);
  };
  const path = (url: Parameters<typeof fetch>[0]) => `/shards${String(url).slice("http://shards".length)}`;
  const shardOf = (id: string) => shardOfKey(id, SHARDS);
  const ids: string[] = [];
  for (let n = 0; ids.length < each * SHARDS; n++) {
    const id = `job-${n}`;
    if (ids.filter((other) => shardOf(other) === shardOf(id)).length < each) ids.push(id);
  }
  const producer = connect();
  await producer.addJobs(ids.map((id) => ({ name: "note", payload: null, id })));
  await producer.configure({ keep: { completed: each * SHARDS } });
  const began = new Map<string, number>();
  const told: string[] = [];
  const work = async () => {
    for (let n = 0; n < WORKERS; n++) {
      const worker = connect();
      worker.on("completed", ({ job }) => told.push(job.id));
      // A process that is gone is told of as an error.
      worker.on("error", () => {});
      worker.on("job:note", async (_, { id }) => {
        began.set(id, (began.get(id) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 20));
      });
      await worker.run({ concurrency: 8, lease: 10_000 });
    }
  };
  const die = async (shard: number, plan: Plan) => {
    const object = encodeURIComponent(shard === 0 ? name : `${name}#${shard}`);
    const answer = await fetch(`${server.url}/die/shards/${object}`, { method: "POST", body: JSON.stringify(plan) });
    if (!answer.ok) throw new Error(`${answer.status}`);
  };
  const done = () =>
    vi.waitFor(
      async () => {
        const { completed, waiting, active, delayed, failed } = await producer.counts();
        expect({ completed, left: waiting + active + delayed + failed }).toEqual({ completed: ids.length, left: 0 });
      },
      { timeout: BACK_MS, interval: 100 },
    );
  const repeated = () => [...began].flatMap(([id, times]) => (times > 1 ? [id] : []));
  return { ids, shardOf, began, told, work, die, done, repeated };
}

describe("two workers of a queue over four objects on disk", { timeout: 90_000 }, () => {
  it("whose process is killed and comes back: no job is lost, and only what ran then is repeated", async () => {
    const { ids, began, told, work, done, repeated } = await open(60);
    await work();
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(50), { timeout: 20_000, interval: 5 });
    const before = new Set(told);
    await server.kill();
    const running = [...began.keys()].filter((id) => !before.has(id));
    expect(before.size).toBeLessThan(ids.length);
    expect(running.length).toBeGreaterThan(0);
    server = await runtime.start();
    await done();
    expect(new Set(began.keys())).toEqual(new Set(ids));
    expect(repeated().filter((id) => !running.includes(id))).toEqual([]);
    await vi.waitFor(() => expect(new Set(told).size).toBe(ids.length), { timeout: BACK_MS });
  });

  const steps: readonly Step[] = [
    "after the settlement was committed",
    "before the settlement was committed",
    "before the claim was committed",
    "after the claim was on disk",
  ];
  // The others at night.
  it.each(steps.slice(0, process.env["QUAYSIDE_ALL"] ? undefined : 1))(
    "of which one object dies, up to three times, %s: no job is lost, and none of the others repeated",
    async (step) => {
      const { ids, shardOf, began, told, work, die, done, repeated } = await open(25);
      await die(2, { step, times: 3 });
      await work();
      await done();
      expect(server.lines.filter((line) => line.startsWith("died")).length).toBeGreaterThan(0);
      expect(new Set(began.keys())).toEqual(new Set(ids));
      expect(repeated().filter((id) => shardOf(id) !== 2)).toEqual([]);
      await vi.waitFor(() => expect(new Set(told).size).toBe(ids.length), { timeout: BACK_MS });
    },
  );
});
