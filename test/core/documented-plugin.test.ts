import { readFileSync } from "node:fs";
import { everything } from "@quayside/core";
import { MemoryStore, StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { expect, it } from "vitest";
import { gently } from "../plugins/documented.ts";

it("docs/plugins.md shows a plugin that compiles, and holds what it says", async () => {
  const page = readFileSync(new URL("../../docs/plugins.md", import.meta.url), "utf8");
  const code = readFileSync(new URL("../plugins/documented.ts", import.meta.url), "utf8");
  expect(page).toContain(code);

  const clock = createManualClock();
  const driver = new StoreDriver(new MemoryStore(), { plugins: [gently(10, 1_000), ...everything()], clock });
  await driver.enqueue(Array.from({ length: 25 }, () => ({ queue: "mail", name: "email", payload: "1" })));
  const claim = (worker: string) =>
    driver.exchange({
      ...{ worker, liveness: "time", leaseMs: 30_000, exchange: 1, settle: [], running: [] },
      claim: { limit: 100, queues: [{ queue: "mail" }] },
    });
  for (const [worker, count] of [
    ["a", 10],
    ["b", 10],
    ["c", 5],
  ] as const)
    expect((await claim(worker)).jobs).toHaveLength(count);
  await driver.enqueue(Array.from({ length: 11 }, () => ({ queue: "mail", name: "email", payload: "1" })));
  expect((await claim("d")).nextWakeMs).toBe(1_000);
});
