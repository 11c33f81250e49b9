import { CHANGE_KINDS, Queue, Worker } from "@quayside/core";
import { createManualClock, driverConformance, type OpenDriver, workerConformance } from "@quayside/core/testing";
import { httpDriver } from "@quayside/edge/client";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createTestHarness } from "wrangler";
import { REFUSED, shardedRunners, WITHIN_ONE_SHARD } from "../edge/shard-cases.ts";

const server = createTestHarness({
  workers: [{ configPath: "../edge/wrangler.http.jsonc" }],
  root: import.meta.dirname,
});
let base = "";

beforeAll(async () => {
  base = (await server.listen()).url.href.replace(/\/$/, "");
});
afterAll(() => server.close());

let opened = 0;

/** @param kind of space: see `SPLIT` of the Worker. */
const openIn =
  (kind: string): OpenDriver =>
  async () => {
    const space = `${base}/spaces/${kind}-${opened++}`;
    const clock = createManualClock();
    const drivers: { close(): Promise<void> }[] = [];
    const make = () => {
      const driver = httpDriver({ url: `${space}/api`, token: "token-all", queues: ["mail"] });
      drivers.push(driver);
      return driver;
    };
    const move = async (by: { readonly advance?: number; readonly jump?: number }) => {
      const response = await fetch(`${space}/time`, { method: "POST", body: JSON.stringify(by) });
      if (!response.ok) throw new Error(`The clock answered ${response.status}.`);
    };
    return {
      driver: make(),
      another: async () => make(),
      clock,
      advance: async (ms) => {
        await move({ advance: ms });
        await clock.advance(ms);
      },
      jump: async (ms) => {
        await move({ jump: ms });
        clock.jump(ms);
      },
      close: async () => {
        for (const driver of drivers) await driver.close();
      },
    };
  };
const open = openIn("whole");

/** Over HTTP each queue is an object of its own: what these say of two queues in one store cannot hold there. */
const WITHIN_ONE_STORE = [
  "R25: children may lie in other queues than their parent",
  "R10: all that the worker held comes back, with ids and dedupe keys as they were",
  "R10: who recovers is told of each job it took back, as it now stands",
  "R10: from its second interruption on a job is claimed alone",
];

describe("HttpDriver, over real HTTP", () => {
  const it_ = (name: string, run: () => Promise<void>) => void it.skipIf(WITHIN_ONE_STORE.includes(name))(name, run);
  const cases = driverConformance({ describe, it: it_, expect }, open);
  console.info(`driver conformance over HTTP: ${cases} cases, ${WITHIN_ONE_STORE.length} of them not applicable`);
  workerConformance({ describe, it: it_, expect }, open);
});

/** More than the API takes at once: the calls of which they are made go to several shards. */
const MANY_AT_ONCE = "R4: thousands of jobs added at the same instant keep their order and their delays";
const runners = shardedRunners({ describe, expect, it: (name, run) => void it(name, run) }, [
  ...WITHIN_ONE_STORE,
  MANY_AT_ONCE,
]);

describe("HttpDriver with shards: 4, over real HTTP", () => {
  const cases = driverConformance(runners.overAll, openIn("split"));
  const elsewhere = [
    ...Object.values(WITHIN_ONE_SHARD),
    ...Object.values(REFUSED),
    WITHIN_ONE_STORE,
    MANY_AT_ONCE,
  ].flat();
  console.info(
    `driver conformance over HTTP with shards: 4: ${cases} cases, of which (with the worker's) ${elsewhere.length} do not hold over shards`,
  );
  workerConformance(runners.overAll, openIn("split"));
});

describe("HttpDriver with shards: 4, all jobs of one key", () => {
  driverConformance(runners.ofOneKey, openIn("keyed"));
  workerConformance(runners.ofOneKey, openIn("keyed"));
});

describe("a worker in Node, on queues at the edge", () => {
  it("is told of jobs as they are added, runs those of all its queues, and settles them", async () => {
    const url = `${base}/spaces/${opened++}/api`;
    const producer = httpDriver({ url, token: "token-all" });
    const driver = httpDriver({ url, token: "token-work" });
    const ran: string[] = [];
    const run = async (job: { readonly queue: string; readonly payload: unknown }) => {
      ran.push(`${job.queue} ${job.payload}`);
      return job.payload;
    };
    const worker = new Worker(driver, { queues: ["mail", "bulk"].map((name) => ({ name, run })) });
    await worker.start();
    const [mail, bulk] = [new Queue("mail", producer), new Queue("bulk", producer)];
    const id = await mail.addJob("email", 0);
    await vi.waitFor(() => expect(ran).toEqual(["mail 0"]), { timeout: 5_000 });

    await bulk.addJobs(Array.from({ length: 40 }, (_, n) => ({ name: "email", payload: n })));
    await mail.addJobs(Array.from({ length: 40 }, (_, n) => ({ name: "email", payload: n + 1 })));
    await vi.waitFor(() => expect(ran).toHaveLength(81), { timeout: 20_000 });
    await worker.stop();
    expect(new Set(ran).size).toBe(81);
    expect(await mail.counts()).toMatchObject({ waiting: 0, active: 0, completed: 41 });
    expect(await bulk.counts()).toMatchObject({ waiting: 0, active: 0, completed: 40 });
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: 0 });
    await Promise.all([driver.close(), producer.close()]);
  });

  it("is told of each kind of change while the stream is open, not only when it opens", async () => {
    const url = `${base}/spaces/${opened++}/api`;
    const [watching, acting] = [
      httpDriver({ url, token: "token-all", queues: ["mail"] }),
      httpDriver({ url, token: "token-all" }),
    ];
    const told: string[] = [];
    const tells = (kind: string) => vi.waitFor(() => expect(told).toContain(kind), { timeout: 5_000 });
    watching.watch(({ kind }) => told.push(kind));
    await tells(CHANGE_KINDS.at(-1) as string);
    told.length = 0;
    const queue = new Queue("mail", acting);
    const worker = new Worker(acting, {
      queues: [
        {
          name: "mail",
          run: (_, { progress, signal }) => {
            progress(0.5);
            return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
          },
        },
      ],
    });
    const id = await queue.addJob("email", 0);
    await tells("ready");
    await worker.start();
    await tells("active");
    await tells("progress");
    await queue.cancel(id);
    await tells("cancel");
    await tells("ended");
    await queue.pause();
    await tells("settings");
    await worker.stop();
    await Promise.all([watching.close(), acting.close()]);
  });

  it("may do no more than its token says", async () => {
    const driver = httpDriver({ url: `${base}/spaces/${opened++}/api`, token: "token-work" });
    await expect(new Queue("mail", driver).addJob("email", 0)).rejects.toMatchObject({ code: "forbidden" });
    const stranger = httpDriver({ url: `${base}/spaces/${opened++}/api` });
    await expect(stranger.counts("mail")).rejects.toMatchObject({ code: "unauthorized" });
  });

  it("learns that the server is out of reach by the code network", async () => {
    const driver = httpDriver({ url: "http://127.0.0.1:1/api" });
    await expect(driver.counts("mail")).rejects.toMatchObject({ code: "network" });
  });
});
