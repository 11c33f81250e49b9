import { CHANGE_KINDS, type Change } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it, vi } from "vitest";
import { type Answer, open } from "./fake-api.ts";

describe("HttpDriver: watching", () => {
  /** A server whose event streams the test holds in hand. */
  function streams() {
    const opened: { path: string; send: (text: string) => void; end: () => void; cancelled: boolean }[] = [];
    const answer: Answer = ({ path }, { signal }) => {
      if (!path.endsWith("/events")) return Response.json({ waiting: 0 });
      const stream = { path, send: (_: string) => {}, end: () => {}, cancelled: false };
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          stream.send = (text) => controller.enqueue(new TextEncoder().encode(text));
          stream.end = () => controller.close();
          signal?.addEventListener("abort", () => {
            if (!stream.cancelled) controller.error(signal.reason);
            stream.cancelled = true;
          });
        },
        cancel: () => {
          stream.cancelled = true;
        },
      });
      opened.push(stream);
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    };
    return { opened, answer };
  }

  it("opens a stream for each queue it is used for, only while somebody listens", async () => {
    const { opened, answer } = streams();
    const { driver } = open(answer, { queues: ["mail"] });
    await driver.counts("logs");
    expect(opened).toEqual([]);
    const stop = driver.watch(() => {});
    await vi.waitFor(() => expect(opened.map(({ path }) => path)).toEqual(["/mail/events", "/logs/events"]));
    await driver.counts("later");
    await vi.waitFor(() => expect(opened).toHaveLength(3));
    stop();
    await vi.waitFor(() => expect(opened.every(({ cancelled }) => cancelled)).toBe(true));
  });

  it("tells what the stream says, however it is cut into pieces, and passes over what is no change", async () => {
    const { opened, answer } = streams();
    const told: Change[] = [];
    const { driver } = open(answer, { queues: ["mail"] });
    driver.watch((change) => told.push(change));
    await vi.waitFor(() => expect(opened).toHaveLength(1));
    await vi.waitFor(() => expect(told.map(({ kind }) => kind)).toContain("ready"));
    told.length = 0;
    const [stream] = opened as [(typeof opened)[0]];
    stream.send(': hello\n\nevent: x\ndata: {"queue":"mail","ki');
    stream.send('nd":"ended"}\r\n\r\ndata: nonsense\n\ndata: {"queue":"mail","kind":"cancel"}\n\n');
    await vi.waitFor(() =>
      expect(told).toEqual([
        { queue: "mail", kind: "ended" },
        { queue: "mail", kind: "cancel" },
      ]),
    );
    await driver.close();
  });

  it("tells a worker of its own changes by its key, of which the stream has the first characters", async () => {
    const { opened, answer } = streams();
    const told: Change[] = [];
    const reply = { exchange: 1, jobs: [], lost: [], cancel: [], interrupted: [], unknown: [] };
    const { driver } = open(
      (request, init) => (request.path.endsWith("/exchange") ? Response.json(reply) : answer(request, init)),
      { queues: ["mail"] },
    );
    driver.watch((change) => told.push(change));
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(0));
    told.length = 0;
    const worker = "0123456789abcdef";
    const round = { worker, leaseMs: 1_000, liveness: "time", exchange: 1, settle: [], running: [] } as const;
    const claim = { limit: 1, queues: [{ queue: "mail" }] };
    await driver.exchange({ ...round, claim });
    const tell = (by: string) => opened[0]?.send(`data: ${JSON.stringify({ queue: "mail", kind: "ready", by })}\n\n`);
    tell("012345…");
    tell("543210…");
    await vi.waitFor(() => expect(told.map(({ by }) => by)).toEqual([worker, "543210…"]));
    await driver.exchange({ ...round, claim, leave: true });
    tell("012345…");
    await vi.waitFor(() => expect(told.map(({ by }) => by)).toEqual([worker, "543210…", "012345…"]));
    await driver.close();
  });

  it("opens a stream that broke again, ever later, and then reports that something may have been missed", async () => {
    const clock = createManualClock();
    const { opened, answer } = streams();
    const told: Change[] = [];
    let down = false;
    const { driver } = open(
      (request, init) => {
        if (down) throw new TypeError("Failed to fetch");
        return answer(request, init);
      },
      { clock, queues: ["mail"] },
    );
    driver.watch((change) => told.push(change));
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(0));
    told.length = 0;
    down = true;
    opened[0]?.end();
    await vi.waitFor(() => expect(clock.pending).toBe(1));
    await clock.advance(1_000);
    await vi.waitFor(() => expect(clock.pending).toBe(1));
    down = false;
    await clock.advance(1_999);
    expect(opened).toHaveLength(1);
    await clock.advance(1);
    await vi.waitFor(() => expect(opened).toHaveLength(2));
    await vi.waitFor(() => expect(told.map(({ kind }) => kind)).toEqual([...CHANGE_KINDS]));
    await driver.close();
    expect(clock.pending).toBe(0);
  });
});
