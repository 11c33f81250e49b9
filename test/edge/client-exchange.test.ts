import type { ExchangeRequest } from "@quayside/core/engine";
import { describe, expect, it } from "vitest";
import { type Answer, open } from "./fake-api.ts";

/** A queue's object as far as an exchange goes: it hands out what it has and notes what it is told. */
function objects(stock: Record<string, number>): Answer {
  return ({ path, body }) => {
    const queue = path.split("/")[1] as string;
    const { exchange, claim } = body as ExchangeRequest;
    const count = Math.min(claim.limit, stock[queue] ?? 0);
    stock[queue] = (stock[queue] ?? 0) - count;
    const jobs = Array.from({ length: count }, (_, index) => ({
      token: `${exchange}.${index}`,
      job: { id: `${queue}-${index}`, queue },
    }));
    return Response.json({
      exchange,
      jobs,
      lost: [],
      cancel: [],
      interrupted: [],
      unknown: [],
      nextWakeMs: queue === "a" ? 70 : 50,
    });
  };
}

describe("HttpDriver: a worker of several queues", () => {
  const round = (exchange: number, more: Partial<ExchangeRequest> = {}): ExchangeRequest => ({
    worker: "w",
    liveness: "time",
    leaseMs: 30_000,
    exchange,
    settle: [],
    running: [],
    claim: { limit: 0, queues: [] },
    ...more,
  });
  const queues = [{ queue: "a" }, { queue: "b", limit: 2, names: ["email"] }];

  it("shares its limit out in the order of the queues, and stops asking when it is full", async () => {
    const { driver, sent } = open(objects({ a: 3, b: 9 }));
    const reply = await driver.exchange(round(1, { claim: { limit: 10, queues } }));
    expect(reply.jobs.map(({ job: { id } }) => id)).toEqual(["a-0", "a-1", "a-2", "b-0", "b-1"]);
    expect(sent.map(({ body }) => (body as ExchangeRequest).claim)).toEqual([
      { limit: 10 },
      { limit: 2, names: ["email"], busy: true },
    ]);
    expect(reply.nextWakeMs).toBe(50);
    sent.length = 0;
    const full = open(objects({ a: 9, b: 9 }));
    await full.driver.exchange(round(1, { claim: { limit: 3, queues } }));
    expect(full.sent.map(({ path }) => path)).toEqual(["/a/exchange"]);
  });

  it("settles and renews each job where it came from, though all objects count their tokens alike", async () => {
    const { driver, sent } = open(objects({ a: 1, b: 2 }));
    const { jobs } = await driver.exchange(round(1, { claim: { limit: 10, queues } }));
    const [first, second, third] = jobs.map(({ token }) => token) as [string, string, string];
    expect(new Set([first, second, third]).size).toBe(3);
    sent.length = 0;
    await driver.exchange(
      round(2, {
        settle: [{ token: first, outcome: "completed" }],
        running: [second, third],
        progress: [{ token: third, value: 0.5 }],
      }),
    );
    expect(sent.map(({ path, body }) => [path, body])).toMatchObject([
      ["/a/exchange", { settle: [{ token: "1.0", outcome: "completed" }], running: [] }],
      ["/b/exchange", { settle: [], running: ["1.0", "1.1"], progress: [{ token: "1.1", value: 0.5 }] }],
    ]);
  });

  it("sends an exchange that failed with all again as it was, to the same objects", async () => {
    let failures = 2;
    const stock = objects({ a: 1, b: 1 });
    const { driver, sent } = open((request, init) => {
      if (failures-- > 0) throw new TypeError("Failed to fetch");
      return stock(request, init);
    });
    const request = round(1, { claim: { limit: 10, queues } });
    await expect(driver.exchange(request)).rejects.toMatchObject({ code: "network" });
    await driver.exchange(request);
    expect(sent.map(({ path, body }) => [path, (body as ExchangeRequest).exchange])).toEqual([
      ["/a/exchange", 1],
      ["/b/exchange", 1],
      ["/a/exchange", 1],
      ["/b/exchange", 1],
    ]);
  });

  it("takes its leave of every object it has asked", async () => {
    const { driver, sent } = open(objects({}));
    await driver.exchange(round(1, { claim: { limit: 10, queues } }));
    sent.length = 0;
    await driver.exchange(round(2, { leave: true }));
    expect(sent.map(({ path, body }) => [path, (body as ExchangeRequest).leave])).toEqual([
      ["/a/exchange", true],
      ["/b/exchange", true],
    ]);
  });

  it("is told what it lost where an object answers 409 because it lost all, and goes on with the others", async () => {
    const others = objects({ a: 1, b: 1 });
    const { driver } = open((request, init) => {
      const { settle, exchange } = request.body as ExchangeRequest;
      if (!request.path.startsWith("/a") || settle.length === 0) return others(request, init);
      const details = { exchange, jobs: [], lost: ["1.0"], cancel: [], interrupted: [], unknown: [], nextWakeMs: 7 };
      return Response.json({ status: 409, code: "lease_lost", detail: "Lost.", details }, { status: 409 });
    });
    const { jobs } = await driver.exchange(round(1, { claim: { limit: 10, queues } }));
    const [mine, other] = jobs.map(({ token }) => token) as [string, string];
    const settle = [mine, other].map((token) => ({ token, outcome: "completed" as const }));
    const reply = await driver.exchange(round(2, { settle }));
    expect(reply).toEqual({
      exchange: 2,
      jobs: [],
      lost: [mine],
      cancel: [],
      interrupted: [],
      unknown: [],
      nextWakeMs: 7,
    });
  });

  it("is told at once that what it holds nowhere is lost", async () => {
    const { driver } = open(objects({}));
    expect(await driver.exchange(round(1, { running: ["nothing"] }))).toMatchObject({ lost: ["nothing"], jobs: [] });
  });
});
