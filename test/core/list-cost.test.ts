import { everything, type JobPage } from "@quayside/core";
import { type ListQuery, type NewJob, StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { expect, it } from "vitest";
import { Metered } from "./metered-store.ts";

const PRIORITIES = 201;
const job = (options: Partial<NewJob>): NewJob => ({ queue: "mail", name: "email", payload: "0", ...options });

/** A queue with 200 delayed jobs in each of 201 priorities. */
async function scene() {
  const store = new Metered();
  const clock = createManualClock();
  const driver = new StoreDriver(store, { plugins: everything(), clock });
  const delayed = Array.from({ length: PRIORITIES }, (_, priority) =>
    Array.from({ length: 200 }, () => job({ priority, delayMs: 3_600_000 })),
  );
  await driver.enqueue(delayed.flat());
  return { clock, driver, store };
}

/** Reads all pages of a list. */
async function pages(driver: StoreDriver, query: ListQuery): Promise<readonly JobPage[]> {
  const all = [await driver.list(query)];
  for (let cursor = all[0]?.cursor; cursor !== undefined; cursor = all[all.length - 1]?.cursor)
    all.push(await driver.list({ ...query, cursor }));
  return all;
}

it("R42: an empty list of waiting jobs reads one page and one record per priority of delayed jobs", async () => {
  const { driver, store } = await scene();
  const before = store.read;
  const all = await pages(driver, { queue: "mail", state: "waiting" });
  expect(all).toEqual([{ jobs: [] }]);
  expect(store.read - before).toBeLessThanOrEqual(100 + 2 * PRIORITIES);
});

it("R42: lists of waiting and of delayed jobs are whole where each priority has both", async () => {
  const { driver } = await scene();
  const added = await driver.enqueue(
    Array.from({ length: 2 * PRIORITIES }, (_, index) => job({ priority: index % PRIORITIES })),
  );
  const idsOf = async (state: "waiting" | "delayed") =>
    (await pages(driver, { queue: "mail", state, limit: 70 })).flatMap(({ jobs }) => jobs.map(({ id }) => id));
  expect((await idsOf("waiting")).sort()).toEqual(added.map(({ id }) => id).sort());
  expect(new Set(await idsOf("delayed")).size).toBe(200 * PRIORITIES);
});
