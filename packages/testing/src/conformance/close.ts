import { newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

export const closeCases = verb("close", (it) => {
  it("R14: a driver that was closed refuses every call, and may be closed again", async ({
    another,
    refused,
    worker,
  }) => {
    const closed = await another();
    await closed.close();
    await closed.close();
    await refused(closed.enqueue([newJob()]), "closed");
    await refused(closed.get(QUEUE, "any"), "closed");
    await refused(closed.list({ queue: QUEUE }), "closed");
    await refused(closed.counts(QUEUE), "closed");
    await refused(closed.nextWake([QUEUE]), "closed");
    await refused(closed.command({ type: "pause", queue: QUEUE }), "closed");
    await refused(worker({ driver: closed }).claim(1), "closed");
  });

  it("R14: what was asked before the close is done, and the records outlive it", async ({
    another,
    driver,
    expect,
    job,
    worker,
  }) => {
    const leaving = await another();
    const added = leaving.enqueue([newJob({ id: "last" })]);
    const closed = leaving.close();
    expect(await added).toEqual([{ id: "last", deduplicated: false }]);
    await closed;
    expect((await job("last")).state).toBe("waiting");
    expect(await driver.nextWake([QUEUE])).toBe(0);
    expect(await worker().claimIds(1)).toEqual(["last"]);
  });
});
