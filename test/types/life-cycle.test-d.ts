import { memoryDriver, Queue, QueueManager, QueueWorker } from "@quayside/core";
import { describe, expectTypeOf, it } from "vitest";

const queue = new Queue("mail", memoryDriver(), { ctx: { db: "db" } });

describe("the life cycle", () => {
  it("has the same verbs on queue, worker and manager", async () => {
    for (const life of [queue, new QueueWorker(queue), new QueueManager()]) {
      expectTypeOf(life.start()).resolves.toBeVoid();
      expectTypeOf(life.run()).resolves.toBeVoid();
      expectTypeOf(life.stop({ timeout: "5s" })).resolves.toBeVoid();
      expectTypeOf(life.close({ timeout: 5_000 })).resolves.toBeVoid();
      expectTypeOf(life).toExtend<AsyncDisposable>();
    }
    queue.start({ ctx: { db: "other" }, concurrency: 2 });
    // @ts-expect-error a timeout is a duration
    queue.close({ timeout: "soon" });
    // @ts-expect-error no such option
    queue.close({ timeoutMs: 1 });
  });
});
