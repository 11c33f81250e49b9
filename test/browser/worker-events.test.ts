import { broadcastEvents, workerEvents } from "@quayside/browser";
import { memoryDriver, QuaysideError, Queue, UnrecoverableError } from "@quayside/core";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it, vi } from "vitest";
import { freshName } from "./support/databases.ts";

const eventually = (check: () => unknown) => vi.waitFor(check, { timeout: 10_000 });

function setUp() {
  const name = freshName();
  const clock = createManualClock();
  const queue = new Queue<{ resize: { width: number } }>("images", memoryDriver({ clock }), { clock });
  return { name, clock, queue, stop: broadcastEvents(queue, name), remote: workerEvents(name) };
}

describe("broadcastEvents and workerEvents", () => {
  it("tell of progress, logs and ends of jobs that run elsewhere, as the worker's own events do", async () => {
    const { name, queue, stop, remote } = setUp();
    const heard: object[] = [];
    for (const event of ["active", "progress", "log", "completed", "idle"] as const)
      remote.on(event, (details) => heard.push({ event, ...details }));
    const misheard = vi.fn();
    workerEvents(`${name}-other`).on("active", misheard);
    queue.on("job:resize", (_payload, ctx) => {
      ctx.progress({ rows: 3 });
      ctx.log("half");
      return { made: new Date(0), left: undefined };
    });
    const id = await queue.addJob("resize", { width: 1 });
    await queue.drain();
    await eventually(() => expect(heard).toHaveLength(5));
    const job = expect.objectContaining({ id, payload: { width: 1 } });
    expect(heard).toEqual([
      { event: "active", job },
      { event: "progress", job, progress: { rows: 3 } },
      { event: "log", job, line: "half" },
      { event: "completed", job, result: { made: "1970-01-01T00:00:00.000Z" }, durationMs: expect.any(Number) },
      { event: "idle" },
    ]);
    expect(misheard).not.toHaveBeenCalled();
    stop();
  });

  it("give errors back as errors with their code, though they hold what cannot be sent", async () => {
    const { clock, queue, stop, remote } = setUp();
    const failed = vi.fn();
    const retrying = vi.fn();
    remote.on("failed", failed);
    remote.on("retrying", retrying);
    const errors = [
      Object.assign(new Error("once"), { retry: () => {} }),
      new UnrecoverableError("never", { cause: () => {} }),
    ];
    queue.on("job:resize", () => {
      throw errors.shift();
    });
    await queue.addJob("resize", { width: 1 }, { backoff: "1s" });
    await queue.drain();
    await clock.advance(1_000);
    await queue.drain();
    await eventually(() => expect(failed).toHaveBeenCalled());
    expect(retrying.mock.lastCall?.[0]).toMatchObject({
      delayMs: 1_000,
      error: { code: "handler_failed", message: "once" },
    });
    const end = failed.mock.lastCall?.[0];
    expect(end.error).toBeInstanceOf(QuaysideError);
    expect(end).toMatchObject({ error: { code: "unrecoverable", message: "never" } });
    stop();
  });

  it("stop for who stops listening, and hold no channel open after the last", async () => {
    const { queue, stop, remote } = setUp();
    const close = vi.spyOn(BroadcastChannel.prototype, "close");
    queue.on("job:resize", () => {});
    const gone = vi.fn();
    const there = vi.fn();
    const stops = [remote.on("completed", gone), remote.on("completed", there)];
    stops[0]?.();
    stops[0]?.();
    await queue.addJob("resize", { width: 1 });
    await queue.drain();
    await eventually(() => expect(there).toHaveBeenCalled());
    expect(gone).not.toHaveBeenCalled();
    expect(close).not.toHaveBeenCalled();
    stops[1]?.();
    expect(close).toHaveBeenCalledTimes(1);

    // One that listens again hears again; a worker that stopped telling is heard no more, itself unharmed.
    remote.on("completed", there);
    await queue.addJob("resize", { width: 2 });
    await queue.drain();
    await eventually(() => expect(there).toHaveBeenCalledTimes(2));
    stop();
    expect(close).toHaveBeenCalledTimes(2);
    await queue.addJob("resize", { width: 3 });
    await queue.drain();
    expect(queue.metrics().processed).toBe(3);
    vi.restoreAllMocks();
  });

  it("keep a listener's mistake from the others, and pass over what else the channel carries", async () => {
    const { name, queue, stop, remote } = setUp();
    const report = vi.fn();
    vi.stubGlobal("reportError", report);
    const boom = new Error("boom");
    remote.on("active", () => {
      throw boom;
    });
    const listener = vi.fn();
    remote.on("active", listener);
    const stranger = new BroadcastChannel(`quayside:${name}:events`);
    for (const data of [null, "hello", { quayside: "active" }]) stranger.postMessage(data);
    queue.on("job:resize", () => {});
    await queue.addJob("resize", { width: 1 });
    await queue.drain();
    await eventually(() => expect(listener).toHaveBeenCalledTimes(1));
    expect(report).toHaveBeenCalledExactlyOnceWith(boom);
    stranger.close();
    stop();
    vi.unstubAllGlobals();
  });
});
