import { type ChildFailure, DEFAULTS } from "@quayside/core";
import type { ClaimedJob, NewJob } from "@quayside/core/engine";
import { KEEP_NONE, NOTHING, newJob, type Scene, verb } from "./support.ts";
import { QUEUE, type TestWorker } from "./test-worker.ts";

const parent = (ref: string, job: Partial<NewJob> = {}) => ({ name: "parent", ...job, flow: { ref, ...job.flow } });
const child = (parentRef: string, job: Partial<NewJob> = {}) => ({
  name: "child",
  ...job,
  flow: { parentRef, ...job.flow },
});
/** A tree of so many levels, each of one job. */
const chain = (levels: number) =>
  Array.from({ length: levels }, (_, n) => ({
    name: n === levels - 1 ? "child" : "parent",
    flow: { ...(n > 0 && { parentRef: String(n - 1) }), ...(n < levels - 1 && { ref: String(n) }) },
  }));
const ignore = { onFailure: "ignore" as ChildFailure };

/** How a child may end other than well, and as what its parent sees it. */
const FAILURES: readonly (readonly [
  string,
  "failed" | "cancelled",
  (scene: Scene, one: TestWorker, id: string) => Promise<unknown>,
])[] = [
  [
    "fails for good",
    "failed",
    async (_, one, id) => {
      const held = await one.claim(9, [{ queue: QUEUE, names: ["child"] }]);
      await one.fail(held.filter(({ job }) => job.id === id));
    },
  ],
  ["is cancelled while it waits", "cancelled", ({ command }, _, id) => command("cancel", id)],
  ["is removed while it waits", "cancelled", ({ command }, _, id) => command("remove", id)],
  [
    "is cleared away",
    "cancelled",
    ({ driver }) => driver.command({ type: "clear", queue: QUEUE, name: "child", tags: ["the"] }),
  ],
  [
    "is cancelled while it runs",
    "cancelled",
    async ({ command }, one, id) => {
      const held = await one.claim(9, [{ queue: QUEUE, names: ["child"] }]);
      await command("cancel", id);
      await one.stopped(held.filter(({ job }) => job.id === id));
    },
  ],
  [
    "is removed while it runs",
    "cancelled",
    async ({ command }, one, id) => {
      const held = await one.claim(9, [{ queue: QUEUE, names: ["child"] }]);
      await command("remove", id);
      await one.release(held.filter(({ job }) => job.id === id));
    },
  ],
  [
    "expires",
    "failed",
    async ({ advance }, one) => {
      await advance(20_000);
      await one.claim(9, [{ queue: QUEUE, names: ["child"] }]);
    },
  ],
];

export const flowsCases = verb("flows", (it) => {
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

  for (const [fate, state, happens] of FAILURES) {
    it(`R25: a child that ${fate} ends its parent as failed`, async (scene) => {
      const { add, expect, job, worker } = scene;
      const [top, id, sibling] = await add(
        parent("top"),
        child("top", { tags: ["the"], expiresInMs: 20_000 }),
        child("top"),
      );
      const one = worker();
      await happens(scene, one, id);
      const ended = await job(top);
      expect(ended).toMatchObject({ state: "failed", error: { code: "child_failed" }, attempts: 0 });
      expect(ended.error?.message).toContain(id);
      expect(ended.error?.message).toContain(state);
      // Its other children go on by themselves.
      expect(["waiting", "active"]).toContain((await job(sibling)).state);
      await one.exchange({ running: [] });
      const [held] = await one.claim(9);
      expect(held?.job.id).toBe(sibling);
      await one.complete(held as ClaimedJob);
      expect(await one.claimIds(9)).toEqual([]);
    });

    it(`R25: a child that ${fate} may be ignored: its parent runs and sees it`, async (scene) => {
      const { add, expect, job, worker } = scene;
      const [top, id] = await add(parent("top"), child("top", { tags: ["the"], expiresInMs: 20_000, flow: ignore }));
      const one = worker();
      await happens(scene, one, id);
      expect((await job(top)).blockedBy).toBeUndefined();
      const [held] = await one.take(1);
      expect(held.job.id).toBe(top);
      expect(held.children).toMatchObject([{ id, state }]);
    });
  }

  for (const onFailure of ["fail", "ignore"] as const) {
    it(`R25: a child interrupted too often counts as failed (${onFailure})`, async ({
      add,
      expect,
      interrupt,
      job,
      untilDue,
      worker,
    }) => {
      const [top, id] = await add(parent("top"), child("top", { flow: { onFailure } }));
      const rescuer = worker();
      for (let n = 1; n <= DEFAULTS.maxInterruptions; n++) {
        await untilDue(id);
        await interrupt(rescuer);
      }
      expect((await job(id)).error?.code).toBe("interrupted");
      if (onFailure === "fail")
        expect(await job(top)).toMatchObject({ state: "failed", error: { code: "child_failed" } });
      else
        expect((await rescuer.take(1))[0].children).toMatchObject([
          { id, state: "failed", error: { code: "interrupted" } },
        ]);
    });
  }

  it("R25: a failed child ends its parents up the tree, as far as each policy says", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [root, middle, low, leaf] = await add(
      parent("root"),
      { name: "middle", flow: { ref: "middle", parentRef: "root", ...ignore } },
      { name: "low", flow: { ref: "low", parentRef: "middle" } },
      child("low"),
    );
    const one = worker();
    const [held] = await one.take(1);
    expect(held.job.id).toBe(leaf);
    await one.fail(held);
    expect((await job(low)).error?.code).toBe("child_failed");
    expect((await job(middle)).error?.code).toBe("child_failed");
    const [next] = await one.take(1);
    expect(next.job.id).toBe(root);
    expect(next.children).toMatchObject([{ id: middle, state: "failed", error: { code: "child_failed" } }]);
  });

  it("R25: a child that will be tried again, is released or interrupted has not ended", async ({
    add,
    expect,
    interrupt,
    job,
    untilDue,
    worker,
  }) => {
    const [top, id] = await add(parent("top"), child("top"));
    const one = worker();
    await one.retry(await one.take(1), 0);
    await one.release(await one.take(1));
    await interrupt(one);
    expect((await job(top)).blockedBy).toBe("children");
    await untilDue(id);
    await one.complete(await one.take(1));
    expect((await one.take(1))[0].job.id).toBe(top);
  });

  it("R25: a failed child that an operator retries settles nothing a second time", async ({
    add,
    command,
    expect,
    job,
    worker,
  }) => {
    const [top, first, second] = await add(
      parent("top"),
      child("top", { flow: ignore }),
      child("top", { flow: ignore }),
    );
    const one = worker();
    await one.fail((await one.take(2))[0]);
    await command("retry", first);
    await one.exchange({ running: [] });
    const held = await one.claim(9);
    await one.complete(held.filter(({ job }) => job.id === first));
    expect((await job(top)).blockedBy).toBe("children");
    await one.complete(held.filter(({ job }) => job.id === second));
    const [next] = await one.take(1);
    expect(next.job.id).toBe(top);
    expect(next.children?.map(({ state }) => state).sort()).toEqual(["completed", "failed"]);
  });

  it("R25: a failed parent that an operator retries runs, its child's second end changes nothing", async ({
    add,
    command,
    expect,
    job,
    worker,
  }) => {
    const [top, id] = await add(parent("top"), child("top"));
    const one = worker();
    await one.fail(await one.take(1));
    await command("retry", id);
    await command("retry", top);
    const held = await one.claim(9);
    expect(held.map(({ job }) => job.id).sort()).toEqual([top, id].sort());
    await one.fail(held.filter(({ job }) => job.id === id));
    expect((await job(top)).state).toBe("active");
    await one.complete(held.filter(({ job }) => job.id === top));
    expect((await job(top)).state).toBe("completed");
  });

  for (const verb of ["cancel", "remove"] as const) {
    it(`R25: ${verb} of a waiting parent leaves its children to themselves`, async ({
      add,
      command,
      counts,
      expect,
      worker,
    }) => {
      const [top, a, b] = await add(parent("top"), child("top"), child("top"));
      expect(await command(verb, top)).toMatchObject({ affected: 1 });
      const one = worker();
      const held = await one.claim(9);
      expect(held.map(({ job }) => job.id)).toEqual([a, b]);
      await one.complete(held.slice(0, 1));
      await one.fail(held.slice(1));
      expect(await one.claim(9)).toEqual([]);
      expect(await counts()).toEqual({ ...NOTHING, completed: 1, failed: 1, cancelled: verb === "cancel" ? 1 : 0 });
    });
  }

  it("R25: a cancelled parent that an operator retries waits for its children again", async ({
    add,
    command,
    expect,
    job,
    worker,
  }) => {
    const [top, a, b] = await add(parent("top"), child("top"), child("top"));
    const one = worker();
    const [held] = await one.take(1);
    await command("cancel", top);
    await one.complete(held, "1");
    expect(await command("retry", top)).toMatchObject({ affected: 1, state: "waiting" });
    expect((await job(top)).blockedBy).toBe("children");
    const [last, ...none] = await one.claim(9);
    expect([last?.job.id, none]).toEqual([b, []]);
    await one.complete(last as ClaimedJob, "2");
    const [again] = await one.take(1);
    expect(again.job.id).toBe(top);
    expect(again.children?.map(({ id, result }) => [id, result]).sort()).toEqual(
      [
        [a, 1],
        [b, 2],
      ].sort(),
    );
  });

  for (const verb of ["retry", "retryAll"] as const) {
    it(`R25: a failed parent keeps the outcomes of its children through ${verb}, each time`, async ({
      add,
      command,
      driver,
      expect,
      worker,
    }) => {
      const [top, a, b] = await add(parent("top"), child("top"), child("top"));
      const one = worker();
      const held = await one.take(2);
      await one.complete(held.slice(0, 1), "1");
      await one.complete(held.slice(1), "2");
      for (let round = 0; round < 3; round++) {
        const [run] = await one.take(1);
        expect(run.job.id).toBe(top);
        expect(run.children?.map(({ id, result }) => [id, result]).sort()).toEqual(
          [
            [a, 1],
            [b, 2],
          ].sort(),
        );
        await one.fail(run);
        if (verb === "retry") await command("retry", top);
        else await driver.command({ type: "retryAll", queue: QUEUE });
      }
    });
  }

  it("R25: a parent that failed for one child and is retried waits for the others, and sees them all", async ({
    add,
    command,
    expect,
    job,
    worker,
  }) => {
    const [top, a, b] = await add(parent("top"), child("top"), child("top"));
    const one = worker();
    const [bad, good] = await one.take(2);
    await one.fail(bad as ClaimedJob);
    await command("retry", top);
    expect((await job(top)).blockedBy).toBe("children");
    await one.complete(good as ClaimedJob);
    const [run] = await one.take(1);
    expect(run.job.id).toBe(top);
    expect(run.children?.map(({ id, state }) => [id, state]).sort()).toEqual(
      [
        [a, "failed"],
        [b, "completed"],
      ].sort(),
    );
  });

  it("R25: the outcomes of children go with the record of their parent", async ({
    add,
    command,
    driver,
    expect,
    records,
    worker,
  }) => {
    const one = worker();
    const [first] = await add(parent("top"), child("top"));
    await one.complete(await one.take(1));
    await one.fail(await one.take(1));
    const [second] = await add(parent("top"), child("top"));
    await command("cancel", second);
    await one.complete(await one.take(1));
    await command("remove", first);
    await driver.command({ type: "configure", queue: QUEUE, keep: { cancelled: 0 } });
    const found = await records();
    if (found) expect(found.cells.filter(({ key }) => /^(family|member)/.test(key[0]))).toEqual([]);
  });

  it("R25: a parent that waits is neither promoted nor let go by an update", async ({
    add,
    command,
    driver,
    expect,
    job,
    worker,
  }) => {
    const [top, id] = await add(parent("top"), child("top"));
    expect(await command("promote", top)).toEqual({ affected: 0, state: "waiting" });
    await driver.command({ type: "update", queue: QUEUE, id: top, priority: 9, payload: "7", delayMs: 0 });
    expect(await job(top)).toMatchObject({ priority: 9, payload: 7, blockedBy: "children" });
    const one = worker();
    const [held, ...none] = await one.claim(9);
    expect(held?.job.id).toBe(id);
    expect(none).toEqual([]);
    await one.complete(held as ClaimedJob);
    expect(await one.claimIds(9)).toEqual([top]);
  });

  it("R25: clear of a whole tree leaves nothing", async ({ add, counts, driver, expect, records }) => {
    await add(parent("top"), child("top", { flow: { ref: "low", parentRef: "top" } }), child("low"), child("low"));
    await driver.command({ type: "clear", queue: QUEUE });
    expect(await counts()).toEqual(NOTHING);
    const found = await records();
    if (found) expect(found.cells.filter(({ key }) => /^(family|member)/.test(key[0]))).toEqual([]);
  });

  it("R25: what a flow has written down goes with its parent", async ({ add, expect, records, worker }) => {
    await add(parent("top"), child("top"), child("top"));
    const one = worker();
    await one.complete(await one.take(2));
    await one.complete(await one.take(1));
    const found = await records();
    if (found) expect(found.cells.filter(({ key }) => /^(family|member)/.test(key[0]))).toEqual([]);
  });

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
    ["id", { id: "standing" }],
    ["dedupe key", { dedupe: { key: "k", mode: "drop" } }],
    ["throttled dedupe key", { dedupe: { key: "k", mode: "throttle", ttlMs: 60_000 } }],
  ] as readonly (readonly [string, Partial<NewJob>])[]) {
    for (const [state, prepare] of [
      ["waits", async () => []],
      ["runs", (one: TestWorker) => one.take(1)],
    ] as readonly (readonly [string, (one: TestWorker) => Promise<readonly ClaimedJob[]>])[]) {
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

  for (const [by, key] of [
    ["id", { id: "top" }],
    ["dedupe key", { dedupe: { key: "k", mode: "throttle", ttlMs: 60_000 } }],
  ] as readonly (readonly [string, Partial<NewJob>])[]) {
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
        // A flow is kept in one store: all of its keys are the same, or it has one.
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

  it("R25: a parent without children is a plain job", async ({ add, expect, worker }) => {
    const [top] = await add(parent("top"));
    const [held] = await worker().take(1);
    expect(held.job.id).toBe(top);
  });

  it("R25: in a tree of 100 levels the failure of the last ends them all", async ({
    add,
    counts,
    expect,
    job,
    worker,
  }) => {
    const ids = await add(...chain(100));
    const one = worker();
    const [leaf] = await one.take(1);
    expect(leaf.job.id).toBe(ids[99]);
    await one.fail([leaf]);
    expect(await job(ids[0] as string)).toMatchObject({ state: "failed", error: { code: "child_failed" } });
    expect(await counts()).toEqual({ ...NOTHING, failed: 100 });
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
    it(`R6: ${wrong} is refused, and nothing of the call is stored`, async ({ counts, driver, expect, refused }) => {
      await refused(driver.enqueue([newJob({ id: "good" }), ...jobs.map(newJob)]), "invalid_option");
      expect(await counts()).toEqual(NOTHING);
      expect(await driver.get(QUEUE, "good")).toBeUndefined();
    });
  }

  it("R25: names hold within the call only", async ({ add, driver, expect, refused }) => {
    await add(parent("top"));
    await refused(driver.enqueue([newJob(child("top"))]), "invalid_option");
    const [again] = await add(parent("top"), child("top"));
    expect(again.length).toBeGreaterThan(0);
  });

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

  it("R25: a waiting child that is replaced is still waited for", async ({ add, expect, job, worker }) => {
    const [top, id] = await add(parent("top"), child("top", { dedupe: { key: "k", mode: "drop" } }));
    await add({ payload: "1", dedupe: { key: "k", mode: "replace" } });
    expect(await job(id)).toMatchObject({ payload: 1, parent: { id: top } });
    const one = worker();
    await one.complete(await one.take(1), "2");
    expect((await one.take(1))[0].children).toMatchObject([{ id, result: 2 }]);
  });

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
