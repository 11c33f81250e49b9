import type { ClaimedJob } from "@quayside/core/engine";
import { child, parent } from "./flow-jobs.ts";
import { KEEP_NONE, NOTHING, newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Test cases about the order in which the jobs of a flow run, and the outcomes that a parent gets. */
export const flowsCases = verb("flows", (it, needs) => {
  needs("flows");
  it("R25: a parent waits until all of its children have ended, and gets how they did", async ({
    add,
    counts,
    expect,
    job,
    worker,
  }) => {
    const [top, a, b] = await add(parent("top"), child("top", { name: "a" }), child("top", { name: "b" }));
    expect(await job(top)).toMatchObject({ state: "waiting", blockedBy: "children", hasChildren: true });
    expect(await job(a)).toMatchObject({ parent: { queue: QUEUE, id: top, onFailure: "fail" } });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 3 });
    const one = worker();
    const [first, second, ...none] = await one.claim(9);
    expect([first?.job.id, second?.job.id]).toEqual([a, b]);
    expect(none).toEqual([]);
    expect(first?.children).toBeUndefined();
    await one.complete(second as ClaimedJob, '{"n":2}');
    expect(await one.claim(9)).toEqual([]);
    expect((await job(top)).blockedBy).toBe("children");
    const { jobs } = await one.exchange({
      limit: 9,
      settle: [{ token: first?.token ?? "", outcome: "completed", result: "1" }],
    });
    expect(jobs.map(({ job }) => job.id)).toEqual([top]);
    const children = [...(jobs[0]?.children ?? [])].sort((x, y) => (x.name < y.name ? -1 : 1));
    expect(children).toEqual([
      { queue: QUEUE, id: a, name: "a", state: "completed", result: 1 },
      { queue: QUEUE, id: b, name: "b", state: "completed", result: { n: 2 } },
    ]);
  });

  it("R9: a repeated exchange gives the parent its children's outcomes again", async ({ add, expect, worker }) => {
    await add(parent("top"), child("top"));
    const one = worker();
    await one.complete(await one.take(1), "5");
    const { jobs } = await one.exchange({ limit: 1 });
    expect(jobs[0]?.children).toMatchObject([{ state: "completed", result: 5 }]);
    expect((await one.repeat()).jobs).toEqual(jobs);
  });

  it("R25: a parent that is tried again gets the outcomes again, although nothing is kept of its children", async ({
    add,
    driver,
    expect,
    worker,
  }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    await add(parent("top"), child("top"));
    const one = worker();
    await one.complete(await one.take(1), '"done"');
    const [held] = await one.take(1);
    await one.retry(held, 0);
    const [again] = await one.take(1);
    expect(again.children).toEqual(held.children);
    expect(again.children).toMatchObject([{ result: "done" }]);
    await one.complete(again);
  });

  it("R25: trees run from the leaves to the root, whatever the order in which they are given", async ({
    add,
    expect,
    worker,
  }) => {
    const [leaf, root, left, right, other] = await add(
      child("left", { name: "leaf" }),
      parent("root"),
      child("root", { name: "left", flow: { ref: "left", parentRef: "root" } }),
      child("root", { name: "right", flow: { ref: "right", parentRef: "root" } }),
      child("right", { name: "leaf" }),
    );
    const one = worker();
    const rounds: string[][] = [];
    for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) {
      rounds.push(held.map(({ job }) => job.id));
      await one.exchange({
        settle: held.map(({ token, job }) => ({ token, outcome: "completed", result: JSON.stringify(job.name) })),
      });
    }
    expect(rounds.map((ids) => [...ids].sort())).toEqual([[leaf, other].sort(), [left, right].sort(), [root]]);
  });

  it("R25: children of a higher priority than their parent go first anyway, and of a lower one too", async ({
    add,
    expect,
    worker,
  }) => {
    const [top, a, b] = await add(parent("top", { priority: 50 }), child("top", { priority: -9 }), child("top"));
    const [plain] = await add({ priority: -10 });
    const one = worker();
    expect(await one.claimIds(2)).toEqual([b, a]);
    await one.exchange({ settle: [], running: [] });
    await one.complete(await one.take(2));
    expect(await one.claimIds(2)).toEqual([top, plain]);
  });

  it("R15: the jobs of a tree go in the order in which they were given, whatever their depth", async ({
    add,
    expect,
    worker,
  }) => {
    const [, , deep, shallow, plain] = await add(
      parent("top"),
      child("top", { flow: { ref: "low", parentRef: "top" } }),
      child("low"),
      child("top"),
      {},
    );
    expect(await worker().claimIds(9)).toEqual([deep, shallow, plain]);
  });

  it("R25: a parent's delay runs from its adding", async ({ add, advance, expect, worker }) => {
    const [top] = await add(parent("top", { delayMs: 10_000 }), child("top"));
    const one = worker();
    await one.complete(await one.take(1));
    expect(await one.claimIds(9)).toEqual([]);
    await advance(10_000);
    expect(await one.claimIds(9)).toEqual([top]);
  });

  it("R25: children may lie in other queues than their parent", async ({ add, expect, worker }) => {
    const [top, a, b] = await add(parent("top"), child("top", { queue: "a" }), child("top", { queue: "b" }));
    const one = worker({ queues: ["a", "b", QUEUE] });
    const held = await one.claim(9);
    expect(held.map(({ job }) => job.id)).toEqual([a, b]);
    await one.complete(held);
    const [next] = await one.take(1);
    expect(next.job.id).toBe(top);
    expect(next.children?.map(({ queue }) => queue).sort()).toEqual(["a", "b"]);
  });

  it("R25: a parent without children is a plain job", async ({ add, expect, worker }) => {
    const [top] = await add(parent("top"));
    const [held] = await worker().take(1);
    expect(held.job.id).toBe(top);
  });

  it("R25: names hold within the call only", async ({ add, driver, expect, refused }) => {
    await add(parent("top"));
    await refused(driver.enqueue([newJob(child("top"))]), "invalid_option");
    const [again] = await add(parent("top"), child("top"));
    expect(again.length).toBeGreaterThan(0);
  });

  needs("flows", "groups");
  it("R16: children of one group run one by one, and their parent after them", async ({ add, expect, worker }) => {
    const group = { group: { key: "g" } };
    const [top, a, b] = await add(parent("top", group), child("top", group), child("top", group));
    const one = worker();
    const order: string[] = [];
    for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) {
      expect(held).toHaveLength(1);
      order.push(...held.map(({ job }) => job.id));
      await one.complete(held);
    }
    expect(order).toEqual([a, b, top]);
  });

  needs("flows");
  it("R25: a flow of many children runs its parent once", async ({ add, counts, driver, expect, worker }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    const [top] = await add(parent("top"), ...Array.from({ length: 600 }, () => child("top")));
    const one = worker();
    let seen = 0;
    for (let held = await one.claim(250); held.length > 0; held = await one.claim(250)) {
      seen += held.length;
      const last = held[0] as ClaimedJob;
      if (last.job.id === top) expect(last.children).toHaveLength(600);
      await one.complete(held);
    }
    expect(seen).toBe(601);
    expect(await counts()).toEqual(NOTHING);
  });
});
