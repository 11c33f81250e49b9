import type { ClaimedJob, NewJob } from "@quayside/core/engine";
import { child, ignore, parent } from "./flow-jobs.ts";
import { KEEP_NONE, NOTHING, newJob, verb } from "./support.ts";
import { QUEUE, type TestWorker } from "./test-worker.ts";

/** Test cases about children that exist before their flow is added. */
export const flowExistingChildrenCases = verb("flows", (it, needs) => {
  for (const [by, key] of [
    ["id", { id: "standing" }],
    ["dedupe key", { dedupe: { key: "k", mode: "drop" } }],
    ["throttled dedupe key", { dedupe: { key: "k", mode: "throttle", ttlMs: 60_000 } }],
  ] as readonly (readonly [string, Partial<NewJob>])[]) {
    for (const [state, prepare] of [
      ["waits", async () => []],
      ["runs", (one: TestWorker) => one.take(1)],
    ] as readonly (readonly [string, (one: TestWorker) => Promise<readonly ClaimedJob[]>])[]) {
      needs("dedupe", "flows");
      it(`R25: a child that exists already by its ${by}, and ${state}, is waited for`, async ({
        add,
        driver,
        expect,
        job,
        worker,
      }) => {
        const [standing] = await add(key);
        const one = worker();
        const running = await prepare(one);
        const [top, same] = await driver.enqueue([newJob(parent("top")), newJob(child("top", key))]);
        expect(same).toEqual({ id: standing, deduplicated: true });
        expect((await job(top?.id ?? "")).blockedBy).toBe("children");
        expect((await job(standing)).parent).toMatchObject({ id: top?.id });
        const held = running.length > 0 ? running : await one.take(1);
        expect(held[0]?.job.id).toBe(standing);
        await one.complete(held, "5");
        const [run] = await one.take(1);
        expect(run.job.id).toBe(top?.id);
        expect(run.children).toMatchObject([{ id: standing, state: "completed", result: 5 }]);
      });
    }

    needs("dedupe", "flows");
    it(`R25: a child that has ended already, and is kept under its ${by}, gives its outcome at once`, async ({
      add,
      driver,
      expect,
      worker,
    }) => {
      const ttl = key.dedupe ? { dedupe: { ...key.dedupe, ttlMs: 60_000 } } : key;
      const [standing] = await add(ttl);
      const one = worker();
      await one.complete(await one.take(1), "5");
      const [top] = await driver.enqueue([newJob(parent("top")), newJob(child("top", ttl))]);
      const [run] = await one.take(1);
      expect(run.job.id).toBe(top?.id);
      expect(run.children).toMatchObject([{ id: standing, state: "completed", result: 5 }]);
    });
  }

  needs("flows");
  it("R25: a running child whose id was generated is waited for too", async ({ add, driver, expect, worker }) => {
    const [standing] = await add({});
    const one = worker();
    const held = await one.take(1);
    const [top] = await driver.enqueue([newJob(parent("top")), newJob(child("top", { id: standing }))]);
    await one.complete(held, "5");
    const [run] = await one.take(1);
    expect(run.job.id).toBe(top?.id);
    expect(run.children).toMatchObject([{ id: standing, result: 5 }]);
  });

  it("R25: a child that has failed already ends its parent, or is seen by it, as its policy says", async ({
    add,
    driver,
    expect,
    job,
    worker,
  }) => {
    const [standing] = await add({ id: "standing" });
    const one = worker();
    await one.fail(await one.take(1));
    const [strict, , lenient] = await driver.enqueue([
      newJob(parent("strict")),
      newJob(child("strict", { id: standing })),
      newJob(parent("lenient")),
      newJob(child("lenient", { id: standing, flow: ignore })),
    ]);
    expect(await job(strict?.id ?? "")).toMatchObject({ state: "failed", error: { code: "child_failed" } });
    const [run] = await one.take(1);
    expect(run.job.id).toBe(lenient?.id);
    expect(run.children).toMatchObject([{ id: standing, state: "failed" }]);
  });

  needs("dedupe", "flows");
  it("R25: many parents may wait for one child, each by its own policy", async ({
    add,
    driver,
    expect,
    job,
    worker,
  }) => {
    const shared = { dedupe: { key: "k", mode: "drop" } } as const;
    const [first, id] = await add(parent("top"), child("top", shared));
    const tops = [first];
    for (const flow of [{}, ignore]) {
      const [top] = await driver.enqueue([newJob(parent("top")), newJob(child("top", { ...shared, flow }))]);
      tops.push(top?.id ?? "");
    }
    const one = worker();
    const [held] = await one.take(1);
    expect(held.job.id).toBe(id);
    await one.retry(held, 0);
    await one.fail(await one.take(1));
    for (const top of tops.slice(0, 2)) expect((await job(top)).error?.code).toBe("child_failed");
    expect((await one.take(1))[0].job.id).toBe(tops[2]);
  });

  it("R25: a flow is refused whose child exists by its key and is not kept, and nothing is stored", async ({
    add,
    counts,
    driver,
    expect,
    refused,
    worker,
  }) => {
    const key = { dedupe: { key: "k", mode: "throttle", ttlMs: 60_000 } } as const;
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    await add(key);
    const one = worker();
    await one.complete(await one.take(1));
    await refused(
      driver.enqueue([newJob(parent("top")), newJob(child("top", key)), newJob(child("top"))]),
      "child_exists",
    );
    expect(await counts()).toEqual(NOTHING);
  });

  needs("flows");
  it("R25: a child named twice in a flow is one child, whoever its parents are", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [top, left, right, shared] = await add(
      parent("top"),
      child("top", { flow: { ref: "left", parentRef: "top" } }),
      child("top", { flow: { ref: "right", parentRef: "top" } }),
      child("left", { id: "shared", priority: 1 }),
      child("left", { id: "shared" }),
      child("right", { id: "shared" }),
    );
    const one = worker();
    const [held, ...none] = await one.claim(9);
    expect([held?.job.id, none]).toEqual([shared, []]);
    for (const id of [left, right]) expect((await job(id)).blockedBy).toBe("children");
    await one.complete(held as ClaimedJob, "5");
    const middle = await one.take(2);
    for (const { children } of middle) expect(children).toMatchObject([{ id: shared, result: 5 }]);
    await one.complete(middle);
    expect((await one.take(1))[0].job.id).toBe(top);
  });

  for (const [wrong, jobs] of [
    ["its own parent by its id", [parent("top", { id: "a" }), child("top", { id: "a" })]],
    [
      "its own grandparent by its dedupe key",
      [
        parent("top", { dedupe: { key: "k", mode: "drop" } }),
        child("top", { flow: { ref: "low", parentRef: "top" } }),
        child("low", { dedupe: { key: "k", mode: "drop" } }),
      ],
    ],
    [
      "the sibling that waits for it",
      [
        parent("top"),
        child("top", { id: "a", flow: { ref: "a", parentRef: "top" } }),
        child("top", { id: "b", flow: { ref: "b", parentRef: "top" } }),
        child("a", { id: "b" }),
        child("b", { id: "a" }),
      ],
    ],
  ] as readonly (readonly [string, readonly Partial<NewJob>[]])[]) {
    needs();
    it(`R25: a child that is ${wrong} is refused, and nothing is stored`, async ({
      counts,
      driver,
      expect,
      refused,
    }) => {
      await refused(driver.enqueue(jobs.map(newJob)), "invalid_option");
      expect(await counts()).toEqual(NOTHING);
    });
  }
});
