import { type Driver, everything, Queue, QueueWorker } from "@quayside/core";
import { type EnqueueReceipt, MemoryStore, type NewJob, StoreDriver } from "@quayside/core/engine";
import { httpDriver } from "@quayside/core/http";
import { bearerTokens, queueApi } from "@quayside/edge";
import { createManualClock, type ManualClock, seededRandom } from "@quayside/testing";
import { beforeAll, describe, expect, it } from "vitest";
import { loadExchanges } from "./fake-api.ts";

const QUEUES = ["a", "b", "c"];
const JOBS = 12;
const FAULTS = ["throws", "hangs", "is slow", "loses its answers", undefined, undefined] as const;
const LEASE_MS = 12_000;
const SEEDS = process.env["QUAYSIDE_ALL"] ? 200 : 10;

/** Objects as far as an API and a worker go, each on a store of its own in memory, with the fault of the moment. */
function objects(clock: ManualClock) {
  const faults = new Map<string, (typeof FAULTS)[number]>();
  const drivers = new Map(
    QUEUES.map((queue) => [queue, new StoreDriver(new MemoryStore().connect(), { plugins: everything(), clock })]),
  );
  const answer = async (queue: string, verb: string, args: unknown[]) => {
    const fault = faults.get(queue);
    if (fault === "throws") throw new Error("It throws.");
    if (fault === "hangs") return new Promise(() => {});
    if (fault === "is slow") await new Promise<void>((resolve) => void clock.after(3_000, resolve));
    const driver = drivers.get(queue) as Driver;
    const value = await (driver[verb as keyof Driver] as (...args: unknown[]) => unknown).apply(driver, args);
    if (fault === "loses its answers") throw new Error("Its answer is lost.");
    return { ok: true, value };
  };
  const stub = (queue: string) =>
    new Proxy(
      {},
      { get: (_, verb: string) => (verb === "fetch" ? undefined : (...args: unknown[]) => answer(queue, verb, args)) },
    );
  const namespace = {
    idFromName: (name: string) => ({ name }) as DurableObjectId,
    get: ({ name = "" }: DurableObjectId) => stub(name),
  };
  return { faults, drivers, namespace };
}

async function run(seed: number) {
  const random = seededRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const clock = createManualClock();
  const { faults, drivers, namespace } = objects(clock);
  const api = queueApi({
    object: () => namespace,
    auth: bearerTokens({ token: { scopes: ["work"], subject: "tests" } }),
  });
  for (const [queue, driver] of drivers) {
    const jobs = Array.from(
      { length: JOBS },
      (_, n): NewJob => ({ queue, name: "job", payload: "null", id: `${queue}${n}` }),
    );
    (await driver.enqueue(jobs)) satisfies readonly EnqueueReceipt[];
  }
  const ran: string[] = [];
  const told: string[] = [];
  const early: string[] = [];
  const driver = httpDriver({
    url: "",
    token: "token",
    clock,
    fetch: async (url, init) =>
      url.endsWith("/events") ? new Response(null, { status: 404 }) : api.request(url, init, {}),
  });
  const queues = QUEUES.map((name) => {
    const queue = new Queue(name, driver, { clock });
    queue.on("job:job", async (_, { id }) => {
      ran.push(id);
      await new Promise<void>((resolve) => void clock.after(20 + Math.floor(random() * 400), resolve));
    });
    return queue;
  });
  const worker = new QueueWorker(queues, { concurrency: 4, lease: LEASE_MS });
  worker.on("error", () => {});
  const checks: Promise<void>[] = [];
  worker.on("completed", ({ job: { queue, id } }) => {
    told.push(id);
    // The driver's own store: no fault between it and this.
    const stored = (drivers.get(queue) as Driver).get(queue, id);
    checks.push(stored.then((job) => void (job?.state !== "completed" && early.push(id))));
  });
  await worker.start();
  const step = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 50) {
      await clock.advance(50);
      await new Promise((resolve) => setTimeout(resolve));
    }
  };
  const touched = new Set<string>();
  for (let turn = 0; turn < 12; turn++) {
    // The last queue has no fault at all.
    const queue = pick(QUEUES.slice(0, 2));
    const fault = pick(FAULTS);
    if (fault) touched.add(queue);
    faults.set(queue, fault);
    await step(pick([50, 200, 1_000, 3_000]));
  }
  const untouched = QUEUES.filter((queue) => !touched.has(queue));
  const doneBeside = told.filter((id) => untouched.includes(id.slice(0, 1))).length;
  faults.clear();
  const unended = async () => {
    let count = 0;
    for (const [queue, own] of drivers) {
      const { waiting, delayed, active } = await own.counts(queue);
      count += waiting + delayed + active;
    }
    return count;
  };
  const from = clock.monotonic();
  while ((await unended()) > 0 && clock.monotonic() - from < 120_000) await step(500);
  await step(2_000);
  await Promise.all(checks);
  const left = await unended();
  let over = false;
  void worker.stop().then(() => {
    over = true;
  });
  while (!over) await step(500);
  await driver.close();
  const repeated = [...new Set(ran.filter((id, index) => ran.indexOf(id) !== index))];
  return {
    left,
    early,
    lost: QUEUES.flatMap((queue) => Array.from({ length: JOBS }, (_, n) => `${queue}${n}`)).filter(
      (id) => !ran.includes(id),
    ),
    repeatedElsewhere: repeated.filter((id) => !touched.has(id.slice(0, 1))),
    toldTwice: told.filter((id, index) => told.indexOf(id) !== index),
    untoldElsewhere: untouched.length * JOBS - doneBeside,
  };
}

beforeAll(loadExchanges);

describe("a worker of three queues over HTTP, two of them under faults that come and go (R41)", () => {
  it.each(Array.from({ length: SEEDS }, (_, seed) => seed))(
    "seed %i: nothing is lost, told early or twice, and no job of the third runs twice or waits",
    async (seed) => {
      expect(await run(seed)).toEqual({
        left: 0,
        early: [],
        lost: [],
        repeatedElsewhere: [],
        toldTwice: [],
        untoldElsewhere: 0,
      });
    },
  );
});
