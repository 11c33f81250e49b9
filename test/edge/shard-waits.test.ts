import type { QuaysideError, Queue } from "@quayside/core";
import { createManualClock } from "@quayside/testing";
import { afterEach, describe, expect, it } from "vitest";
import { closeAll, open, until } from "./shards-at-fault.ts";

afterEach(closeAll);

type Verb = (queue: Queue, ids: { readonly here: string; readonly there: string }) => Promise<unknown>;

const reads: readonly (readonly [string, Verb])[] = [
  ["counts", (queue) => queue.counts()],
  ["list", (queue) => queue.list()],
  ["list of a state and a tag", (queue) => queue.list({ state: "waiting", tags: ["odd"], limit: 5 })],
  ["schedules", (queue) => queue.schedules()],
  ["get of its job", (queue, { here }) => queue.get(here)],
  ["get of an id that is nowhere", (queue) => queue.get("nowhere")],
  // Looked for first.
  ["cancel of its job", (queue, { here }) => queue.cancel(here)],
  ["remove of its job", (queue, { here }) => queue.remove(here)],
];
const writes: readonly (readonly [string, Verb])[] = [
  ["pause", (queue) => queue.pause()],
  ["clear", (queue) => queue.clear()],
  ["retryAll", (queue) => queue.retryAll()],
  ["configure", (queue) => queue.configure({ keep: { completed: 1 } })],
  [
    "an add to all",
    (queue, { here, there }) => queue.addJobs([here, there].map((id) => ({ name: "n", payload: 0, id: `${id}` }))),
  ],
];

describe("beside a shard that never answers", () => {
  it.each([...reads.map((row) => [...row, 10_000] as const), ...writes.map((row) => [...row, 30_000] as const)])(
    "%s ends, with an error that names the shard and says what to do",
    async (_, verb, ms) => {
      const clock = createManualClock();
      const { remote, faults, of } = await open(1);
      const { worker: queue } = remote(clock);
      faults.set(2, "hangs");
      let error: unknown;
      void verb(queue, { here: of(2)[0] as string, there: of(1)[0] as string }).catch((caught) => {
        error = caught;
      });
      await until(clock, 1_000, () => error !== undefined);
      expect(clock.monotonic()).toBeGreaterThanOrEqual(ms);
      expect(clock.monotonic()).toBeLessThan(ms + 15_000);
      expect(error).toMatchObject({ code: "network", details: { shard: "2" } });
      expect((error as QuaysideError).message).toMatch(
        /^Shard 2 did not answer within \d+ ms\. .*(again|all the same)/,
      );
    },
  );

  it("what the others have is found: a job by its id, an add to them", async () => {
    const clock = createManualClock();
    const { remote, faults, of } = await open(1);
    const { worker: queue } = remote(clock);
    faults.set(2, "hangs");
    expect(await queue.get(of(1)[0] as string)).toMatchObject({ state: "waiting" });
    let cancelled: unknown;
    void queue.cancel(of(3)[0] as string).then((reply) => {
      cancelled = reply;
    });
    await until(clock, 50, () => cancelled !== undefined);
    expect(cancelled).toMatchObject({ affected: 1 });
    expect(clock.monotonic()).toBeLessThanOrEqual(1_500);
  });

  it("an add says of each job whether it is stored", async () => {
    const clock = createManualClock();
    const { remote, faults, of } = await open(1);
    const { worker: queue } = remote(clock);
    faults.set(2, "hangs");
    const [here, there] = [`${of(2)[0]}`, `${of(1)[0]}`];
    let error: unknown;
    void queue.addJobs([here, there].map((id) => ({ name: "email", payload: null, id }))).catch((caught) => {
      error = caught;
    });
    await until(clock, 1_000, () => error !== undefined);
    expect(error).toMatchObject({ details: { shard: "2", stored: [1], ids: [there] } });
  });

  it("a read of one that throws names the shard, too", async () => {
    const { remote, faults } = await open(1);
    const { worker: queue } = remote(createManualClock());
    faults.set(3, "throws");
    await expect(queue.counts()).rejects.toMatchObject({ code: "network", details: { shard: "3" } });
  });
});
