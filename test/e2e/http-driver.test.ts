import { Queue } from "@quayside/core";
import { CHANGE_KINDS, JobWorker } from "@quayside/core/engine";
import { httpDriver } from "@quayside/core/http";
import { driverConformance, workerConformance } from "@quayside/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createTestHarness } from "wrangler";
import { openIn, WITHIN_ONE_STORE } from "./support/http-space.ts";

const server = createTestHarness({
  workers: [{ configPath: "../edge/wrangler.http.jsonc" }],
  root: import.meta.dirname,
});
let base = "";

beforeAll(async () => {
  base = (await server.listen()).url.href.replace(/\/$/, "");
});
afterAll(() => server.close());

const open = openIn(() => base, "whole");
let opened = 0;

describe("HttpDriver, over real HTTP", () => {
  const it_ = (name: string, run: () => Promise<void>) => void it.skipIf(WITHIN_ONE_STORE.includes(name))(name, run);
  const cases = driverConformance({ describe, it: it_, expect }, open);
  console.info(`driver conformance over HTTP: ${cases} cases, ${WITHIN_ONE_STORE.length} of them not applicable`);
  workerConformance({ describe, it: it_, expect }, open);
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
    const worker = new JobWorker(driver, { queues: ["mail", "bulk"].map((name) => ({ name, run })) });
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
    const worker = new JobWorker(acting, {
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
