import { indexedDbDriver } from "@quayside/browser";
import { Queue } from "@quayside/core";
import { expect, it, vi } from "vitest";
import { freshName } from "./support/databases.ts";

const JOBS = 200;

it("many parallel waits for jobs that another tab works read each job a few times, not once for every job that ends", async () => {
  const name = freshName();
  const open = () => new Queue<{ a: null }>("mail", indexedDbDriver({ name, tabs: "all" }));
  const [here, there] = [open(), open()];
  let waits: Promise<unknown>[] = [];
  let begun = 0;
  // One after the other, so that each end is a change of its own, and there is time to look after it.
  there.on("job:a", async () => {
    await waits[begun++ - 1];
    return 1;
  });
  await here.configure({ keep: { completed: 1_000 } });
  const ids = await here.addJobs(Array.from({ length: JOBS }, () => ({ name: "a" as const, payload: null })));
  const reads = vi.spyOn(here.driver, "get");
  waits = ids.map((id) => here.waitFor(id));
  await there.run({ concurrency: 1 });
  expect(new Set(await Promise.all(waits))).toEqual(new Set([1]));
  await there.stop();
  expect(reads.mock.calls.length).toBeLessThan(4 * JOBS);
  for (const { driver } of [here, there]) await driver.close();
});
