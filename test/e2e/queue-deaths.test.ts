import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Queue, QueueWorker } from "@quayside/core";
import { type HttpDriver, httpDriver } from "@quayside/core/http";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Plan, Step } from "../edge/crash-plan.ts";
import { Runtime, type Workerd } from "./support/workerd.ts";

/** Until all is done again, on a busy machine. */
const BACK_MS = 45_000;
const QUEUES = [0, 1, 2];

type Jobs = { note: null };

let runtime: Runtime;
let server: Workerd;
let folder: string;
const drivers: HttpDriver[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quayside-queue-deaths-"));
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

/** Three queues, each in an object on disk, with so many jobs each, and a worker of all of them in this process. */
async function open(each: number) {
  const base = `several-${opened++}`;
  const names = QUEUES.map((index) => `${base}-${index}`);
  const connect = () => {
    // The process that comes back has another address.
    const driver = httpDriver({
      url: "http://queues",
      token: "token",
      fetch: (url, init) => fetch(`${server.url}/shards${url.slice("http://queues".length)}`, init),
    });
    drivers.push(driver);
    return driver;
  };
  const queueOf = (id: string) => Number(id.split("/")[0]);
  const producers = names.map((name) => new Queue<Jobs>(name, connect()));
  const ids = QUEUES.flatMap((index) => Array.from({ length: each }, (_, n) => `${index}/${n}`));
  for (const [index, producer] of producers.entries()) {
    const own = ids.filter((id) => queueOf(id) === index);
    await producer.addJobs(own.map((id) => ({ name: "note", payload: null, id })));
    await producer.configure({ keep: { completed: each } });
  }
  const began = new Map<string, number>();
  const told: string[] = [];
  const driver = connect();
  const queues = names.map((name) => {
    const queue = new Queue<Jobs>(name, driver);
    queue.on("job:note", async (_, { id }) => {
      began.set(id, (began.get(id) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 20));
    });
    return queue;
  });
  const worker = new QueueWorker(queues, { concurrency: 8, lease: 10_000 });
  worker.on("completed", ({ job }) => told.push(job.id));
  // An object that is gone is reported as an error.
  worker.on("error", () => {});
  const die = async (index: number, plan: Plan) => {
    const object = encodeURIComponent(names[index] as string);
    const answer = await fetch(`${server.url}/die/shards/${object}`, { method: "POST", body: JSON.stringify(plan) });
    if (!answer.ok) throw new Error(`${answer.status}`);
  };
  const done = () =>
    vi.waitFor(
      async () => {
        for (const producer of producers) {
          const { completed, waiting, active, delayed, failed } = await producer.counts();
          expect({ completed, left: waiting + active + delayed + failed }).toEqual({ completed: each, left: 0 });
        }
      },
      { timeout: BACK_MS, interval: 100 },
    );
  const repeated = () => [...began].flatMap(([id, times]) => (times > 1 ? [id] : []));
  return { ids, queueOf, began, told, worker, die, done, repeated };
}

describe("a worker of three queues in objects on disk", { timeout: 90_000 }, () => {
  const steps: readonly Step[] = [
    "after the settlement was committed",
    "before the settlement was committed",
    "before the claim was committed",
    "after the claim was on disk",
  ];
  // The others at night.
  it.each(steps.slice(0, process.env["QUAYSIDE_ALL"] ? undefined : 2))(
    "of which one object dies, up to three times, %s: no job is lost, and none of the others is repeated",
    async (step) => {
      const { ids, queueOf, began, told, worker, die, done, repeated } = await open(40);
      await die(1, { step, times: 3 });
      await worker.start();
      await done();
      expect(server.lines.filter((line) => line.startsWith("died")).length).toBeGreaterThan(0);
      expect(new Set(began.keys())).toEqual(new Set(ids));
      expect(repeated().filter((id) => queueOf(id) !== 1)).toEqual([]);
      await vi.waitFor(() => expect(told.toSorted()).toEqual(ids.toSorted()), { timeout: BACK_MS });
    },
  );

  it("whose process is killed and comes back: no job is lost, and only what ran then is repeated", async () => {
    const { ids, began, told, worker, done, repeated } = await open(80);
    await worker.start();
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(50), { timeout: 20_000, interval: 5 });
    const before = new Set(told);
    await server.kill();
    const running = [...began.keys()].filter((id) => !before.has(id));
    server = await runtime.start();
    await done();
    expect(new Set(began.keys())).toEqual(new Set(ids));
    expect(repeated().filter((id) => !running.includes(id))).toEqual([]);
    await vi.waitFor(() => expect(new Set(told).size).toBe(ids.length), { timeout: BACK_MS });
  });
});
