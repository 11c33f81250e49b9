import { type Driver, memoryDriver, QuaysideError, Queue } from "@quayside/core";
import type { Settlement } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";

/** A driver one part of which is silent: its replies say that all they were told to settle is open. */
function open() {
  const clock = createManualClock();
  const driver: Driver = memoryDriver({ clock });
  const exchange = driver.exchange.bind(driver);
  const state = { silent: false, refuses: false };
  const unsettled = new Set<string>();
  driver.exchange = async (request) => {
    const settled = new Map<string, { settlement: Settlement; end: { error: unknown } } | null>();
    const settle = request.settle.map((one): Settlement => {
      if (!state.refuses || one.outcome !== "completed") return one;
      const failed: Settlement = {
        token: one.token,
        outcome: "failed",
        error: { code: "invalid_result", message: "No." },
      };
      settled.set(one.token, { settlement: failed, end: { error: new Error("No.") } });
      return failed;
    });
    const reply = await exchange({ ...request, settle });
    for (const { token } of settle) unsettled.add(token);
    if (!state.silent) unsettled.clear();
    for (const token of unsettled) settled.set(token, null);
    return { ...reply, settled };
  };
  const queue = new Queue("mail", driver, { clock });
  const told: string[] = [];
  for (const event of ["completed", "failed", "retrying"] as const)
    queue.on(event, ({ job }) => told.push(`${event} ${job.id}`));
  queue.on("error", ({ error }) => told.push(error instanceof QuaysideError ? error.code : String(error)));
  queue.on("job:email", () => {});
  return { queue, state, told, clock };
}

describe("a settlement that a part of the queue has not stored yet", () => {
  it("is told once a reply no longer names it, and once", async () => {
    const { queue, state, told } = open();
    state.silent = true;
    await queue.addJob("email", null, { id: "a" });
    await queue.run();
    await new Promise((resolve) => queue.on("idle", resolve));
    expect(told).toEqual([]);
    state.silent = false;
    await queue.addJob("email", null, { id: "b" });
    await queue.drain();
    expect(told).toEqual(["completed a", "completed b"]);
    await queue.stop();
    expect(told).toHaveLength(2);
  });

  it("is told as a lost lease where the worker stops before that", async () => {
    const { queue, state, told } = open();
    state.silent = true;
    await queue.addJob("email", null, { id: "a" });
    await queue.drain();
    expect(told).toEqual(["lease_lost"]);
  });

  it("that was stored as a failure in its place is told as failed", async () => {
    const { queue, state, told } = open();
    state.refuses = true;
    await queue.addJob("email", null, { id: "a" });
    await queue.drain();
    expect(told).toEqual(["failed a"]);
    expect((await queue.get("a"))?.error?.message).toBe("No.");
  });
});
