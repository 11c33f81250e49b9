import type { ClaimedJob, NewJob } from "@quayside/core/engine";
import { chain, child, parent } from "./flow-jobs.ts";
import { NOTHING, newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Test cases about flows that are added again, and flows that are refused. */
export const flowRepeatCases = verb("flows", (it, needs) => {
  needs("flows");
  it("R6: a flow of own ids that is added again adds nothing", async ({ add, counts, driver, expect, worker }) => {
    const flow = () => [
      newJob(parent("top", { id: "top" })),
      newJob(child("top", { id: "a" })),
      newJob(child("top", { id: "b" })),
    ];
    await driver.enqueue(flow());
    const one = worker();
    await one.complete((await one.take(2))[0]);
    for (let again = 0; again < 2; again++)
      expect(await driver.enqueue(flow())).toEqual(["top", "a", "b"].map((id) => ({ id, deduplicated: true })));
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1, active: 1, completed: 1 });
    await add({});
  });

  it("R6: a flow whose root stands already adds none of its children, whether they have ids or not", async ({
    add,
    counts,
    driver,
    expect,
  }) => {
    await add({ id: "top" });
    const receipts = await driver.enqueue([
      newJob(child("low")),
      newJob(parent("top", { id: "top" })),
      newJob(child("top", { id: "low", flow: { ref: "low", parentRef: "top" } })),
    ]);
    expect(receipts.map(({ deduplicated }) => deduplicated)).toEqual([true, true, true]);
    expect(receipts[2]).toEqual({ id: "low", deduplicated: true });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
  });

  for (const [by, key] of [
    ["id", { id: "top" }],
    ["dedupe key", { dedupe: { key: "k", mode: "throttle", ttlMs: 60_000 } }],
  ] as readonly (readonly [string, Partial<NewJob>])[]) {
    needs("dedupe", "flows");
    it(`R25: a flow that is added again under its ${by} answers the same ids, child by child`, async ({
      add,
      counts,
      driver,
      expect,
      worker,
    }) => {
      await driver.command({ type: "configure", queue: QUEUE, keep: { completed: key.id ? 100 : 0 } });
      const flow = () => [
        parent("top", key),
        child("top", { flow: { ref: "low", parentRef: "top" } }),
        child("low", { payload: "1" }),
        // A flow must be in one shard: all of its keys are equal, or it has one key.
        child("low", { payload: "2", ...(key.id && { dedupe: { key: "own", mode: "drop" as const } }) }),
        child("top", { id: "own" }),
      ];
      const ids = await add(...flow());
      expect(new Set(ids).size).toBe(5);
      const again = async () => (await driver.enqueue(flow().map(newJob))).map(({ id }) => id);
      expect(await again()).toEqual(ids);
      const one = worker();
      const order: string[] = [];
      for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) {
        order.push(...held.map(({ job }) => job.id));
        await one.complete(held);
        expect(await again()).toEqual(ids);
      }
      expect(order.sort()).toEqual([...ids].sort());
      expect(await counts()).toEqual({ ...NOTHING, completed: key.id ? 5 : 0 });
    });
  }

  needs("flows");
  it("R25: a flow whose root was removed is added again whole, with children that run", async ({
    add,
    command,
    expect,
    worker,
  }) => {
    const flow = [parent("top", { id: "top" }), child("top"), child("top")];
    const [, a, b] = await add(...flow);
    const one = worker();
    const [held, other] = await one.take(2);
    await one.complete(held as ClaimedJob, "1");
    await command("remove", "top");
    await add(...flow);
    await one.complete(other as ClaimedJob, "2");
    const [again] = await one.take(1);
    expect([a, b]).toContain(again.job.id);
    await one.complete(again, "3");
    const [top] = await one.take(1);
    expect(top.children?.map(({ result }) => result).sort()).toEqual([2, 3]);
  });

  for (const [wrong, jobs] of [
    ["an unknown parent", [parent("top"), child("tpo")]],
    ["a name given twice", [parent("top"), parent("top"), child("top")]],
    ["a circle of two", [{ flow: { ref: "a", parentRef: "b" } }, { flow: { ref: "b", parentRef: "a" } }]],
    ["a job that waits for itself", [{ flow: { ref: "a", parentRef: "a" } }]],
    [
      "a circle beside a tree",
      [parent("top"), child("top"), { flow: { ref: "a", parentRef: "b" } }, { flow: { ref: "b", parentRef: "a" } }],
    ],
    ["a tree of 101 levels", chain(101)],
    ["a parent that others may replace", [parent("top", { dedupe: { key: "k", mode: "replace" } }), child("top")]],
    ["a child that debounces", [parent("top"), child("top", { dedupe: { key: "k", mode: "debounce" } })]],
  ] as readonly (readonly [string, readonly Partial<NewJob>[]])[]) {
    needs();
    it(`R6: ${wrong} is refused, and nothing of the call is stored`, async ({ counts, driver, expect, refused }) => {
      await refused(driver.enqueue([newJob({ id: "good" }), ...jobs.map(newJob)]), "invalid_option");
      expect(await counts()).toEqual(NOTHING);
      expect(await driver.get(QUEUE, "good")).toBeUndefined();
    });
  }
});
