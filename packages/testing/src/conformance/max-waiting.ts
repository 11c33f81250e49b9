import { newJob, type Scene, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

const atMost = ({ driver }: Pick<Scene, "driver">, maxWaiting: number | null, queue = QUEUE) =>
  driver.command({ type: "configure", queue, maxWaiting });
const jobs = (count: number): object[] => Array.from({ length: count }, () => ({}));

export const maxWaitingCases = verb("max waiting", (it, needs) => {
  needs("maxWaiting");
  it("R18: an add over maxWaiting is refused with queue_full and a time to wait, and nothing of it is stored", async (scene) => {
    const { add, another, counts, driver, expect } = scene;
    await add({});
    await atMost(scene, 4);
    await add(...jobs(2));
    for (const one of [driver, await another()])
      await expect(one.enqueue([newJob(), newJob()])).rejects.toMatchObject({
        code: "queue_full",
        details: { queue: QUEUE, limit: 4, retryAfterMs: 1_000 },
      });
    expect((await counts()).waiting).toBe(3);
    await add({});
    expect((await counts()).waiting).toBe(4);
  });

  it("R18: delayed jobs count, and running and ended ones do not", async (scene) => {
    const { add, expect, refused, driver, worker } = scene;
    await atMost(scene, 2);
    await add({}, { delayMs: 60_000 });
    await refused(driver.enqueue([newJob()]), "queue_full");
    const one = worker();
    const held = await one.take(1);
    await add({});
    await refused(driver.enqueue([newJob()]), "queue_full");
    await one.complete(held);
    await refused(driver.enqueue([newJob()]), "queue_full");
    await one.take(1);
    await add({});
    expect((await scene.counts()).waiting).toBe(1);
  });

  it("R18: a job with a taken id is not refused by a full queue", async (scene) => {
    const { add, expect, driver, refused } = scene;
    await atMost(scene, 1);
    await add({ id: "one" });
    expect(await driver.enqueue([newJob({ id: "one" })])).toEqual([{ id: "one", deduplicated: true }]);
    await refused(driver.enqueue([newJob({ id: "one" }), newJob({ id: "two" })]), "queue_full");
  });

  it("R18: a retry comes back to a full queue", async (scene) => {
    const { add, advance, command, counts, expect, worker } = scene;
    await atMost(scene, 1);
    const [first] = await add({ maxAttempts: 2 });
    const one = worker();
    const [held] = await one.take(1);
    await add({});
    await one.exchange({
      settle: [{ token: held.token, outcome: "failed", error: { code: "handler_failed", message: "" }, retryMs: 10 }],
    });
    await advance(10);
    expect((await counts()).waiting).toBe(2);
    await command("cancel", first);
    await command("retry", first);
    expect((await counts()).waiting).toBe(2);
  });

  it("R18: an add of more jobs than maxWaiting is refused as too large", async (scene) => {
    await atMost(scene, 2);
    await scene.refused(scene.driver.enqueue([newJob(), newJob(), newJob()]), "too_large");
    scene.expect((await scene.counts()).waiting).toBe(0);
  });

  it("R18: maxWaiting is of each queue alone, and null lifts it", async (scene) => {
    const { add, counts, driver, expect, refused } = scene;
    await atMost(scene, 1);
    await add({}, { queue: "other" }, { queue: "other" });
    await refused(driver.enqueue([newJob()]), "queue_full");
    expect((await counts("other")).waiting).toBe(2);
    await atMost(scene, null);
    await add(...jobs(3));
    expect((await counts()).waiting).toBe(4);
  });

  needs("dedupe", "maxWaiting");
  it("R18: jobs whose dedupe key is taken are not refused by a full queue", async (scene) => {
    const { add, driver, expect } = scene;
    await atMost(scene, 1);
    const dedupe = { key: "k", mode: "replace" } as const;
    const [id] = await add({ dedupe });
    const payload = '{"to":"eve"}';
    expect(await driver.enqueue([newJob({ dedupe, payload })])).toEqual([{ id, deduplicated: true }]);
    expect((await scene.job(id)).payload).toEqual({ to: "eve" });
  });

  needs("maxWaiting", "recurrences");
  it("R18: occurrences of a recurrence are placed in a full queue", async (scene) => {
    const { add, advance, counts, driver, expect } = scene;
    await atMost(scene, 1);
    await add({});
    const rule = { kind: "every", everyMs: 1_000 } as const;
    await driver.command({ type: "schedule", queue: QUEUE, key: "tick", rule, job: newJob() });
    await advance(1_000);
    const { waiting, delayed } = await counts();
    expect(waiting + delayed).toBe(2);
  });

  needs("groups", "maxWaiting");
  it("R18: jobs that wait for their group count", async (scene) => {
    const { add, driver, refused } = scene;
    await atMost(scene, 2);
    await add({ group: { key: "a" } }, { group: { key: "a" } });
    await refused(driver.enqueue([newJob()]), "queue_full");
  });

  needs("idempotency", "maxWaiting");
  it("R18: a numbered request that a full queue refused is stored when it is sent again", async (scene) => {
    const { add, command, driver, expect, refused } = scene;
    await atMost(scene, 1);
    const [first] = await add({});
    const request = { sender: "page", number: 1, digest: "d" };
    await refused(driver.enqueue([newJob()], request), "queue_full");
    await command("cancel", first);
    const receipts = await driver.enqueue([newJob()], request);
    expect(receipts).toMatchObject([{ deduplicated: false }]);
    expect(await driver.enqueue([newJob()], request)).toEqual(receipts);
  });
});
