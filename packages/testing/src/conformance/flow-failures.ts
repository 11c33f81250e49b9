import { DEFAULTS } from "@quayside/core";
import type { ClaimedJob } from "@quayside/core/engine";
import { chain, child, ignore, parent } from "./flow-jobs.ts";
import { NOTHING, type Scene, verb } from "./support.ts";
import { QUEUE, type TestWorker } from "./test-worker.ts";

/** Ways in which a child can fail, with the state that its parent gets. */
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

/** Test cases about children that end without a result, and the policy of their parent. */
export const flowFailureCases = verb("flows", (it, needs) => {
  for (const [fate, state, happens] of FAILURES) {
    needs("admin", "expiry", "flows");
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
      // The other children continue.
      expect(["waiting", "active"]).toContain((await job(sibling)).state);
      await one.exchange({ running: [] });
      const [held] = await one.claim(9);
      expect(held?.job.id).toBe(sibling);
      await one.complete(held as ClaimedJob);
      expect(await one.claimIds(9)).toEqual([]);
    });

    needs("admin", "expiry", "flows");
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
    needs("flows");
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

  needs("flows");
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

  needs("admin", "flows");
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

  needs("flows", "admin", "unknownNames");
  it("R25: the second end of a child leaves a parent that waits for a worker of its name where it is", async ({
    add,
    command,
    driver,
    expect,
    job,
    worker,
  }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: { cancelled: 9 } });
    const [top, id] = await add(parent("top", { name: "strange" }), child("top", { flow: ignore }));
    await command("cancel", id);
    await worker({ queues: [{ queue: QUEUE, names: ["known"] }] }).claim(1);
    expect(await job(top)).toMatchObject({ blockedBy: "name" });
    await command("retry", id);
    await command("cancel", id);
    expect(await job(top)).toMatchObject({ blockedBy: "name" });
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

  needs("flows");
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
});
