import type { ExchangeRequest } from "@quayside/core/engine";
import { describe, expect, it, vi } from "vitest";
import { type Answer, open } from "./fake-api.ts";

/** What a request brings along for a server that keeps nothing. */
interface Brought {
  readonly memo?: string;
  readonly again?: boolean;
  readonly quiet?: boolean;
}

const round = (exchange: number, more: Partial<ExchangeRequest> = {}): ExchangeRequest => ({
  worker: "w",
  liveness: "time",
  leaseMs: 30_000,
  exchange,
  settle: [],
  running: [],
  claim: { limit: 5, queues: [{ queue: "mail" }] },
  ...more,
});

/** A server that gives a memo with each answer, and a stream that the test holds in hand. */
function server() {
  let send: (text: string) => void = () => {};
  let failures = 0;
  const answer: Answer = ({ path, body }) => {
    if (path.endsWith("/events")) {
      const stream = new ReadableStream<Uint8Array>({
        start: (controller) => {
          send = (text) => controller.enqueue(new TextEncoder().encode(text));
        },
      });
      return new Response(stream, { headers: { "content-type": "text/event-stream" } });
    }
    if (!path.endsWith("/exchange")) return Response.json([{ id: "a", deduplicated: false }], { status: 201 });
    if (failures-- > 0) throw new TypeError("Failed to fetch");
    const { exchange } = body as ExchangeRequest;
    return Response.json({
      exchange,
      jobs: [],
      lost: [],
      cancel: [],
      interrupted: [],
      unknown: [],
      memo: `after ${exchange}`,
    });
  };
  const { driver, sent } = open(answer);
  const brought = () =>
    sent.splice(0).flatMap(({ path, body }): Brought[] => {
      const { memo, again, quiet } = (body ?? {}) as Brought;
      return path.endsWith("/exchange")
        ? [{ ...(memo && { memo }), ...(again && { again }), ...(quiet && { quiet }) }]
        : [];
    });
  return {
    driver,
    brought,
    tell: (kind: string) => send(`data: ${JSON.stringify({ queue: "mail", kind })}\n\n`),
    fail: (times: number) => {
      failures = times;
    },
  };
}

describe("HttpDriver: a worker of a split queue", () => {
  it("brings along what the last answer said, and gives none of it to the worker", async () => {
    const { driver, brought } = server();
    expect(await driver.exchange(round(1))).not.toHaveProperty("memo");
    await driver.exchange(round(2));
    expect(brought()).toEqual([{}, { memo: "after 1" }]);
  });

  it("says when it sends a number again, and brings nothing along after an answer that was lost", async () => {
    const { driver, brought, fail } = server();
    await driver.exchange(round(1));
    fail(1);
    await expect(driver.exchange(round(2))).rejects.toMatchObject({ code: "network" });
    await driver.exchange(round(2));
    await driver.exchange(round(3));
    await driver.exchange(round(3));
    expect(brought()).toEqual([
      {},
      { memo: "after 1" },
      { again: true },
      { memo: "after 2" },
      { memo: "after 3", again: true },
    ]);
  });

  it("says when nothing was told since the last exchange, by a stream that was open all the time", async () => {
    const { driver, brought, tell } = server();
    const told: string[] = [];
    driver.watch(({ kind }) => told.push(kind));
    await driver.exchange(round(1));
    await vi.waitFor(() => expect(told).toContain("ready"));
    await driver.exchange(round(2));
    brought();
    await driver.exchange(round(3));
    expect(brought()).toEqual([{ memo: "after 2", quiet: true }]);
    told.length = 0;
    tell("ended");
    tell("ready");
    await vi.waitFor(() => expect(told).toContain("ready"));
    await driver.exchange(round(4));
    await driver.exchange(round(5));
    expect(brought()).toEqual([{ memo: "after 3" }, { memo: "after 4", quiet: true }]);
    // Its own add is known before any stream tells of it.
    await driver.enqueue([{ queue: "mail", name: "email", payload: "1" }]);
    await driver.exchange(round(6));
    expect(brought()).toEqual([{ memo: "after 5" }]);
    await driver.close();
  });
});
