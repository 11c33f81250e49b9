import { everything, type HandlerContext } from "@quayside/core";
import { JobWorker, StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { expect, it, onTestFinished } from "vitest";
import { Metered } from "./metered-store.ts";

const JOBS = 100;

/** A queue of jobs named `email`, an idle worker of `report`, and a worker of `email` that runs one job at a time. */
async function backlog(limit?: number) {
  const clock = createManualClock();
  const store = new Metered();
  const driver = new StoreDriver(store, { plugins: everything(), clock });
  let exchanges = 0;
  const exchange = driver.exchange.bind(driver);
  driver.exchange = (request) => {
    exchanges++;
    return exchange(request);
  };
  type Run = (job: object, ctx: HandlerContext) => Promise<void> | void;
  const start = async (name: string, concurrency: number, run: Run) => {
    const queues = [{ name: "mail", names: () => [name], ...(limit && { concurrency: limit }), run }];
    const worker = new JobWorker(driver, { clock, concurrency, queues });
    // Both workers report the name that they do not handle.
    worker.on("error", () => {});
    onTestFinished(() => worker.stop({ timeout: 0 }));
    await worker.start();
  };
  await start("report", 1, () => {});
  await driver.enqueue(Array.from({ length: JOBS }, () => ({ queue: "mail", name: "email", payload: "0" })));
  await clock.advance(10);
  return { clock, driver, store, start, exchanges: () => exchanges };
}

it("R17: a job costs its move aside and back once, beside an idle worker of other names", async () => {
  const { clock, start, store } = await backlog();
  const before = store.written;
  let done = 0;
  await start("email", 1, () => {
    done++;
  });
  for (let ms = 0; ms < 10 * JOBS && done < JOBS; ms++) await clock.advance(1);
  expect(done).toBe(JOBS);
  expect((store.written - before) / JOBS).toBeLessThan(8);
});

it("R19: a worker at its limit for the queue and a worker of other names do not wake each other", async () => {
  const { clock, exchanges, start } = await backlog(1);
  await start(
    "email",
    2,
    (_, { signal }) => new Promise((resolve) => signal.addEventListener("abort", () => resolve())),
  );
  await clock.advance(100);
  const before = exchanges();
  await clock.advance(1_000);
  expect(exchanges()).toBe(before);
});
