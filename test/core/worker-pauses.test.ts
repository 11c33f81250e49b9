import { Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it, onTestFinished, vi } from "vitest";

const NOTHING = { jobs: [], lost: [], cancel: [], interrupted: [], unknown: [] };

const problem = (status: number, code: string, details: object = {}): Response =>
  new Response(JSON.stringify({ status, code, detail: code, details }), {
    status,
    headers: { "content-type": "application/problem+json" },
  });

/** A worker of a server that answers all exchanges like this. Its turns of the event loop are real, its time is not. */
async function working(answer: (exchange: number) => Response) {
  const manual = createManualClock();
  const clock = { ...manual, nextTask: () => new Promise<void>((resolve) => setImmediate(resolve)) };
  const counts = { exchanges: 0 };
  const driver = httpDriver({
    url: "https://api.test/queues",
    clock,
    fetch: async (url, { body }) => {
      if (!url.endsWith("/exchange")) return new Response(null, { status: 404 });
      counts.exchanges++;
      return answer((JSON.parse(`${body}`) as { exchange: number }).exchange);
    },
  });
  const queue = new Queue("mail", driver, { clock });
  const errors: unknown[] = [];
  queue.on("error", ({ error }) => errors.push((error as { code?: string }).code));
  queue.on("job:email", () => {});
  await queue.run();
  await vi.waitFor(() => expect(counts.exchanges).toBeGreaterThan(0));
  onTestFinished(async () => {
    const stopped = queue.stop({ timeout: 0 });
    for (let second = 0; second < 30; second++) await manual.advance("1s");
    await stopped;
    await driver.close();
  });
  /** Gives the worker that many turns, in which no time passes. Returns how many exchanges it has made in all. */
  const turns = async (count = 1_000) => {
    for (let turn = 0; turn < count; turn++) await clock.nextTask();
    return counts.exchanges;
  };
  return { queue, clock: manual, errors, counts, turns };
}

describe("A worker whose server", () => {
  it("asks for a pause of 300 s, stops without waiting for it", async () => {
    const { queue, clock, counts } = await working(() => problem(503, "network", { retryAfterMs: 300_000 }));
    let stopped = false;
    void queue.stop({ timeout: 0 }).then(() => (stopped = true));
    await clock.advance("5s");
    expect(stopped).toBe(true);
    expect(counts.exchanges).toBe(3);
  });

  it("refuses every exchange as stale, begins again after pauses that grow", async () => {
    const { clock, errors, turns } = await working(() => problem(409, "stale_exchange"));
    expect(await turns()).toBeLessThanOrEqual(2);
    await clock.advance("60s");
    expect(await turns()).toBeLessThanOrEqual(20);
    expect(new Set(errors)).toEqual(new Set(["stale_exchange"]));
  });

  it("hands out jobs of another queue, asks again after pauses that grow", async () => {
    const jobs = [{ token: "1.0", job: { id: "1", queue: "other", name: "email", payload: null } }];
    const { errors, turns } = await working((exchange) => Response.json({ ...NOTHING, exchange, jobs }));
    expect(await turns()).toBeLessThanOrEqual(2);
    expect(errors).toEqual(["network"]);
  });

  it("says again and again that more is due, and brings nothing, asks after pauses that grow", async () => {
    const { clock, turns } = await working((exchange) => Response.json({ ...NOTHING, exchange, nextWakeMs: 0 }));
    const before = await turns(2_000);
    expect(before).toBeLessThanOrEqual(101);
    await clock.advance("60s");
    expect(await turns()).toBeLessThanOrEqual(before + 20);
  });
});
