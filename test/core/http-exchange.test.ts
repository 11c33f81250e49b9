import { type HttpDriver, httpDriver } from "@quayside/core/http";
import { createManualClock } from "@quayside/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

/** Loads of the code of exchanges that are still to fail. */
const failures = vi.hoisted(() => ({ left: 0 }));

const MODULE = "../../packages/core/src/drivers/http/queue-exchange.ts";

const nothing = { jobs: [], lost: [], cancel: [], interrupted: [], unknown: [] };
const request = (exchange: number) => ({
  worker: "w-0123456789abcdef",
  liveness: "time" as const,
  leaseMs: 60_000,
  exchange,
  settle: [],
  running: [],
  claim: { limit: 1, queues: [{ queue: "mail" }] },
});

describe("the code of exchanges, which HttpDriver loads with the first one", () => {
  let driver: HttpDriver;
  let sent: number[];

  beforeEach(() => {
    vi.resetModules();
    vi.doMock(MODULE, async (original) => {
      if (failures.left-- > 0) throw new Error("offline");
      return original();
    });
    sent = [];
    driver = httpDriver({
      url: "https://api.test/queues",
      clock: createManualClock(),
      fetch: async (url, init) => {
        if (url.endsWith("/events")) return new Response(null, { status: 404 });
        const { exchange } = JSON.parse(`${init.body}`) as { exchange: number };
        sent.push(exchange);
        return Response.json({ exchange, ...nothing });
      },
    });
  });
  afterEach(async () => {
    vi.doUnmock(MODULE);
    await driver.close();
  });

  it("fails an exchange with network when it cannot be loaded, and is loaded again by the next one", async () => {
    failures.left = 1;
    await expect(driver.exchange(request(1))).rejects.toMatchObject({
      code: "network",
      message: expect.stringContaining("could not be loaded"),
    });
    expect(sent).toEqual([]);
    expect(await driver.exchange(request(1))).toMatchObject({ exchange: 1 });
    expect(sent).toEqual([1]);
  });

  it("keeps the order of exchanges that wait for it", async () => {
    await Promise.all(
      [1, 2, 3].map((exchange) => driver.exchange({ ...request(1), worker: `w-${exchange}`, exchange })),
    );
    expect(sent).toEqual([1, 2, 3]);
  });

  it("sends nothing when the driver is closed meanwhile", async () => {
    const exchange = driver.exchange(request(1));
    const refused = expect(exchange).rejects.toMatchObject({ code: "closed" });
    await driver.close();
    await refused;
    expect(sent).toEqual([]);
  });

  it("is loaded for a worker that is about to begin; a failure is reported by its first exchange alone", async () => {
    failures.left = 2;
    expect(await driver.register()).toMatchObject({ liveness: "time" });
    await vi.waitFor(() => expect(failures.left).toBe(1));
    await expect(driver.exchange(request(1))).rejects.toMatchObject({ code: "network" });
  });
});

describe("HttpDriver, when the server answers", () => {
  const answering = (answer: (url: string) => Promise<Response> | Response): [HttpDriver, string[]] => {
    const urls: string[] = [];
    const fetch = async (url: string) => {
      urls.push(url);
      return url.endsWith("/events") ? new Response(null, { status: 404 }) : answer(url);
    };
    return [httpDriver({ url: "https://api.test/queues", clock: createManualClock(), fetch }), urls];
  };

  it.each([
    ["null in unknown", { unknown: [null] }],
    ["null in interrupted", { interrupted: [null] }],
    ["a number in lost", { lost: [1] }],
    ["a number for late", { late: 5 }],
    ["null in late", { late: [null] }],
  ])("an exchange with %s, fails it with network", async (_, odd) => {
    const [driver] = answering(() => Response.json({ exchange: 1, ...nothing, ...odd }));
    await expect(driver.exchange(request(1))).rejects.toMatchObject({ code: "network" });
    await driver.close();
  });

  it("lease_lost without a whole reply, fails the exchange with lease_lost", async () => {
    const problem = { code: "lease_lost", detail: "Lost.", details: { lost: ["t"] }, lost: ["t"] };
    const headers = { "content-type": "application/problem+json" };
    const [driver] = answering(() => new Response(JSON.stringify(problem), { status: 409, headers }));
    await expect(driver.exchange(request(1))).rejects.toMatchObject({ code: "lease_lost" });
    await driver.close();
  });

  it("an exchange after close, hands out none of its jobs", async () => {
    const answers: (() => void)[] = [];
    const asked = Promise.withResolvers<void>();
    const [driver] = answering(async () => {
      asked.resolve();
      await new Promise<void>((resolve) => answers.push(resolve));
      return Response.json({ exchange: 1, ...nothing, jobs: [{ token: "t", job: { id: "1", queue: "mail" } }] });
    });
    const exchange = driver.exchange(request(1));
    await asked.promise;
    await driver.close();
    for (const answer of answers) answer();
    await expect(exchange).rejects.toMatchObject({ code: "closed" });
  });

  it("opens no stream for a listener that comes after close", async () => {
    const [driver, urls] = answering(() => Response.json({}));
    await driver.counts("mail").catch(() => {});
    urls.length = 0;
    await driver.close();
    driver.watch(() => {})();
    expect(urls).toEqual([]);
  });
});
