import type { BatchJob } from "@quayside/core";
import { many, record, thrownBy } from "./batch-support.ts";
import { encryption } from "./encrypted-queue.ts";
import { gate, next, topic } from "./support.ts";

/** Test cases about the handlers of batches, and the outcomes of their jobs. */
export const batchOutcomeCases = topic("batches", (it) => {
  it("each job of a batch may have an outcome of its own", async ({ expect, queue }) => {
    const mail = queue();
    record(mail, 4, 0, ([first, second, third]) => {
      first?.complete({ at: 1 });
      second?.fail(new Error("no"));
      third?.complete("x".repeat(200_000));
    });
    const ids = await mail.addJobs(many(4, { maxAttempts: 1 }));
    await mail.drain();
    const [first, second, third, fourth] = await Promise.all(ids.map((id) => mail.get(id)));
    expect(first).toMatchObject({ state: "completed", result: { at: 1 } });
    expect(second).toMatchObject({ state: "failed", error: { message: "no" } });
    expect(third).toMatchObject({ state: "failed", error: { code: "result_too_large" } });
    expect(fourth).toMatchObject({ state: "completed" });
    expect(fourth?.result).toBeUndefined();
  });

  it("a batch handler that throws fails each job that it has not decided, by the options of that job", async ({
    expect,
    queue,
    advance,
  }) => {
    const mail = queue();
    let broken = true;
    const calls = record(mail, 3, 0, ([first]) => {
      if (!broken) return;
      first?.complete("done");
      throw new Error("search is down");
    });
    const ids = await mail.addJobs([
      ...many(1),
      ...many(1, { maxAttempts: 1 }),
      ...many(1, { maxAttempts: 2, backoff: "5s" }),
    ]);
    await mail.drain();
    expect(await mail.get(ids[0] as string)).toMatchObject({ state: "completed", result: "done" });
    expect(await mail.get(ids[1] as string)).toMatchObject({ state: "failed", error: { message: "search is down" } });
    expect(await mail.get(ids[2] as string)).toMatchObject({ state: "delayed", attempts: 1 });
    broken = false;
    await advance(5_000);
    await mail.drain();
    expect(calls).toEqual([[0, 0, 0], [0]]);
    expect(await mail.get(ids[2] as string)).toMatchObject({ state: "completed", attempts: 2 });
  });

  it("the cancel of one job aborts the signal of that job alone; when all should stop, that of the call", async ({
    expect,
    queue,
    advance,
  }) => {
    const mail = queue();
    const begun = gate<readonly BatchJob[]>();
    const one = gate<unknown>();
    const call = gate<unknown>();
    mail.onBatch("job:index", { size: 2 }, async (jobs, { signal }) => {
      jobs[1]?.signal.addEventListener("abort", () => one.open(signal.aborted));
      begun.open(jobs);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      call.open(signal.reason);
    });
    const [first, second] = await mail.addJobs(many(2));
    await mail.run();
    const jobs = await begun.opened;
    await mail.cancel(second as string);
    expect(await one.opened).toBe(false);
    expect(jobs[0]?.signal.aborted).toBe(false);
    const stopped = mail.stop({ timeout: "1s" });
    await advance(1_000);
    expect(await call.opened).toMatchObject({ code: "closed" });
    await stopped;
    expect(await mail.get(first as string)).toMatchObject({ state: "completed" });
    expect(await mail.get(second as string)).toMatchObject({ state: "cancelled" });
  });

  it("a batch that is aborted by stop() gives its jobs back, not counted", async ({ expect, queue, advance }) => {
    const mail = queue();
    const begun = gate();
    mail.onBatch("job:index", { size: 2 }, async (_, { signal }) => {
      begun.open();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      throw signal.reason;
    });
    const ids = await mail.addJobs(many(2));
    await mail.run();
    await begun.opened;
    const stopped = mail.stop({ timeout: "1s" });
    await advance(1_000);
    await stopped;
    for (const id of ids) expect(await mail.get(id)).toMatchObject({ state: "waiting", attempts: 0 });
  });

  it("an outcome after the end of the call is refused, and changes nothing", async ({ expect, queue }) => {
    const mail = queue();
    let kept: readonly BatchJob[] = [];
    record(mail, 1, 0, (jobs) => {
      kept = jobs;
      jobs[0]?.fail(new Error("first"));
      jobs[0]?.complete("last");
    });
    const id = await mail.addJob("index", null);
    await mail.drain();
    expect(thrownBy(() => kept[0]?.fail(new Error("late")))).toBe("conflict");
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: "last" });
  });

  it("a batch of encrypted jobs is one call", async ({ expect, queue }) => {
    const mail = queue({ encryption });
    const calls = record(mail, 3, 0);
    await mail.addJobs([...many(2, { encrypted: true }), ...many(1)]);
    await mail.drain();
    expect(calls).toEqual([[0, 1, 0]]);
  });

  it("a removed batch handler gets no more jobs; its name can have another handler", async ({ expect, queue }) => {
    const mail = queue();
    const off = mail.onBatch("job:index", { size: 2, wait: "1h" }, () => {});
    expect(thrownBy(() => mail.on("job:index", () => {}))).toBe("invalid_option");
    expect(thrownBy(() => mail.onBatch("job:index", { size: 1 }, () => {}))).toBe("invalid_option");
    await mail.run();
    off();
    await mail.stop();
    const done = next(mail, "completed");
    mail.on("job:index", () => "single");
    await mail.run();
    await mail.addJob("index", null);
    expect((await done).result).toBe("single");
  });

  it("options of a batch that are out of range are refused", ({ expect, queue }) => {
    const mail = queue();
    const wrong: readonly unknown[] = [
      undefined,
      null,
      {},
      { size: 0 },
      { size: 1.5 },
      { size: 10_001 },
      { size: "3" },
      { size: 1, wait: -1 },
      { size: 1, wait: "8d" },
      { size: 1, wait: "soon" },
      { size: 1, most: 2 },
    ];
    for (const options of wrong)
      expect(thrownBy(() => mail.onBatch("job:index", options as { size: number }, () => {}))).toBe("invalid_option");
    return Promise.resolve();
  });
});
