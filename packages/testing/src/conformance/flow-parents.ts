import type { ClaimedJob } from "@quayside/core/engine";
import { child, parent } from "./flow-jobs.ts";
import { NOTHING, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Test cases about commands on the parents of a flow, and the records that a flow leaves. */
export const flowParentCases = verb("flows", (it, needs) => {
  for (const verb of ["cancel", "remove"] as const) {
    needs("flows");
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

  needs("admin", "flows");
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
    needs("admin", "flows");
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

  needs("admin", "flows");
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

  needs("flows");
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

  needs("admin", "flows");
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

  needs("flows");
  it("R25: what a flow has written down goes with its parent", async ({ add, expect, records, worker }) => {
    await add(parent("top"), child("top"), child("top"));
    const one = worker();
    await one.complete(await one.take(2));
    await one.complete(await one.take(1));
    const found = await records();
    if (found) expect(found.cells.filter(({ key }) => /^(family|member)/.test(key[0]))).toEqual([]);
  });

  needs("dedupe", "flows");
  it("R25: a waiting child that is replaced is still waited for", async ({ add, expect, job, worker }) => {
    const [top, id] = await add(parent("top"), child("top", { dedupe: { key: "k", mode: "drop" } }));
    await add({ payload: "1", dedupe: { key: "k", mode: "replace" } });
    expect(await job(id)).toMatchObject({ payload: 1, parent: { id: top } });
    const one = worker();
    await one.complete(await one.take(1), "2");
    expect((await one.take(1))[0].children).toMatchObject([{ id, result: 2 }]);
  });
});
