import { Queue } from "@quayside/core";
import { JobWorker } from "@quayside/core/engine";
import { type HttpDriverOptions, httpDriver } from "@quayside/core/http";
import { createManualClock } from "@quayside/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { createTestHarness } from "wrangler";

const server = createTestHarness({
  workers: [{ configPath: "../edge/wrangler.http.jsonc" }],
  root: import.meta.dirname,
});
let base = "";
let opened = 0;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  base = (await server.listen()).url.href;
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(() => server.close());

type Fetch = NonNullable<HttpDriverOptions["fetch"]>;

/** An exchange as it went over the wire. */
interface Sent {
  readonly running: readonly string[];
  readonly settle: readonly object[];
}

/** A queue at the edge, on the platform's clock, to which drivers connect. */
function open() {
  const url = `${base}spaces/timed-${opened++}/api`;
  const connect = (options: Partial<HttpDriverOptions> = {}) => {
    const driver = httpDriver({ url, token: "token-all", ...options });
    closing.push(() => driver.close());
    return driver;
  };
  return { queue: new Queue("mail", connect()), connect };
}

/** Notes the exchanges that go through a driver's `fetch`, and the streams of changes that are open. */
function wire() {
  const exchanges: Sent[] = [];
  const streams: { cut: () => void }[] = [];
  const fetching: Fetch = async (url, init) => {
    if (url.endsWith("/exchange")) exchanges.push(JSON.parse(init.body as string) as Sent);
    const response = await fetch(url, init);
    if (!url.endsWith("/events") || !response.body) return response;
    const cutter = new AbortController();
    streams.push({ cut: () => cutter.abort(new TypeError("terminated")) });
    return new Response(response.body.pipeThrough(new TransformStream(), { signal: cutter.signal }), response);
  };
  return { exchanges, streams, fetch: fetching };
}

type Run = ConstructorParameters<typeof JobWorker>[1]["queues"][number]["run"];

async function startWorker(driver: ReturnType<typeof httpDriver>, run: Run, lease: "3s" | "10m" = "10m") {
  const worker = new JobWorker(driver, { lease, queues: [{ name: "mail", run }] });
  closing.push(() => worker.stop());
  const idle = new Promise<void>((resolve) => worker.on("idle", () => resolve()));
  await worker.start();
  return { worker, idle };
}

/** A stream that opens says that something may have been missed: the worker that has just looked looks once more. */
const lookedAgain = ({ exchanges, streams }: Pick<ReturnType<typeof wire>, "exchanges" | "streams">) =>
  vi.waitFor(() => expect([streams.length, exchanges.length]).toEqual([1, 2]), { timeout: 10_000 });

/** Resolves when the signal aborts, with why. */
const aborted = (signal: AbortSignal) =>
  new Promise<unknown>((resolve) => signal.addEventListener("abort", () => resolve(signal.reason)));

describe("a worker in Node, on a queue at the edge", () => {
  it("R11: hears of a cancel at once and not at its next renewal: the handler's signal aborts, the job ends cancelled", async () => {
    const { queue, connect } = open();
    const { exchanges, streams, fetch } = wire();
    let reason: Promise<unknown> | undefined;
    const { idle } = await startWorker(connect({ fetch }), async (_, { signal }) => {
      reason = aborted(signal);
      throw await reason;
    });
    await idle;
    await lookedAgain({ exchanges, streams });
    const id = await queue.addJob("email", 0);
    await vi.waitFor(() => expect(reason).toBeDefined(), { timeout: 10_000 });
    const sent = exchanges.length;
    await queue.cancel(id);
    expect(await reason).toMatchObject({ code: "cancelled" });
    await vi.waitFor(async () => expect(await queue.get(id)).toMatchObject({ state: "cancelled", attempts: 1 }), {
      timeout: 10_000,
    });
    // One that asks, because the stream said so, and one that settles.
    expect(exchanges.slice(sent).map(({ running, settle }) => [running.length, settle.length])).toEqual([
      [1, 0],
      [0, 1],
    ]);
  });

  it("R10: renews what runs longer than its lease, and nobody takes it", async () => {
    const { queue, connect } = open();
    const { exchanges, fetch } = wire();
    let end: (result: string) => void = () => {};
    const ending = new Promise<string>((resolve) => {
      end = resolve;
    });
    const id = await queue.addJob("email", 0);
    await startWorker(connect({ fetch }), () => ending, "3s");
    await vi.waitFor(async () => expect(await queue.get(id)).toMatchObject({ state: "active" }), { timeout: 10_000 });
    const taken: string[] = [];
    await startWorker(
      connect(),
      async (job) => {
        taken.push(job.id);
        return "the rival's";
      },
      "3s",
    );
    // Renewed at each third of the lease: at the fifth renewal the lease of the claim has long run out.
    await vi.waitFor(() => expect(exchanges.filter(({ running }) => running.length === 1)).toHaveLength(5), {
      timeout: 30_000,
    });
    end("its own");
    await vi.waitFor(async () => expect(await queue.get(id)).toMatchObject({ state: "completed" }), {
      timeout: 10_000,
    });
    expect(await queue.get(id)).toMatchObject({ result: "its own", attempts: 1, interruptions: 0 });
    expect(taken).toEqual([]);
  });

  it("sleeps while there is nothing to do and is woken by the stream of changes", async () => {
    const { queue, connect } = open();
    const { exchanges, streams, fetch } = wire();
    const ran: unknown[] = [];
    // A driver on a clock that stands still: nothing in it can look by itself.
    const { idle } = await startWorker(connect({ fetch, clock: createManualClock() }), async ({ payload }) => {
      ran.push(payload);
    });
    await idle;
    await lookedAgain({ exchanges, streams });
    await queue.counts();
    expect(exchanges).toHaveLength(2);
    for (let n = 0; n < 3; n++) {
      await queue.addJob("email", n);
      await vi.waitFor(() => expect(ran.at(-1)).toBe(n), { timeout: 10_000 });
    }
  });

  it("looks again when a stream that broke is open again: what was added meanwhile is not missed", async () => {
    const { queue, connect } = open();
    const { streams, fetch } = wire();
    const clock = createManualClock();
    const ran: unknown[] = [];
    const { idle } = await startWorker(connect({ fetch, clock }), async ({ payload }) => {
      ran.push(payload);
    });
    await idle;
    await queue.addJob("email", "before");
    // Each request that is on its way has a timer.
    await vi.waitFor(() => expect([ran, streams.length, clock.pending]).toEqual([["before"], 1, 0]), {
      timeout: 10_000,
    });
    streams[0]?.cut();
    // It waits a second, by a clock that stands still, before it opens another.
    await vi.waitFor(() => expect(clock.pending).toBe(1), { timeout: 10_000 });
    await queue.addJob("email", "meanwhile");
    await queue.counts();
    expect(ran).toEqual(["before"]);
    await clock.advance(1_000);
    await vi.waitFor(() => expect(ran).toEqual(["before", "meanwhile"]), { timeout: 10_000 });
    expect(streams).toHaveLength(2);
  });
});
