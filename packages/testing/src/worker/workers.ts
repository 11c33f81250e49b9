import type { QuaysideError } from "@quayside/core";
import { gather, next, QUEUE, spyOnExchanges, topic, wrap } from "./support.ts";

/** Test cases about adds, claims and the number of jobs that run at once. */
export const workerCases = topic("workers", (it) => {
  it("adds made in the same turn share one transaction, each caller with its own id", async ({
    expect,
    queue,
    driver,
  }) => {
    const sizes: number[] = [];
    const counting = wrap(driver, {
      enqueue(jobs) {
        sizes.push(jobs.length);
        return driver.enqueue(jobs);
      },
    });
    const mail = queue({ driver: counting });
    const ids = await Promise.all(Array.from({ length: 100 }, (_, n) => mail.addJob("email", n)));
    expect(sizes).toEqual([100]);
    expect(new Set(ids).size).toBe(100);
    expect(await mail.get(ids[42] as string)).toMatchObject({ payload: 42 });
  });

  it("concurrency is never exceeded, and no slot is left empty while work is due", async ({ expect, queue }) => {
    const mail = queue();
    let running = 0;
    let most = 0;
    mail.on("job:email", async () => {
      most = Math.max(most, ++running);
      await undefined;
      running--;
    });
    await mail.addJobs(Array.from({ length: 50 }, (_, n) => ({ name: "email", payload: n })));
    await mail.drain({ concurrency: 4 });
    expect(most).toBe(4);
    expect(await mail.counts()).toMatchObject({ waiting: 0, active: 0, completed: 50 });
  });

  it("settlements and the next claim share one exchange", async ({ expect, queue, driver }) => {
    const spy = spyOnExchanges(driver);
    const mail = queue({ driver: spy.driver });
    mail.on("job:email", () => {});
    await mail.addJobs(Array.from({ length: 100 }, (_, n) => ({ name: "email", payload: n })));
    await mail.drain({ concurrency: 10 });
    // Ten batches: each except the first settles the previous one; then one exchange settles the last, and one ends the
    // lease.
    expect(spy.seen.length).toBeLessThanOrEqual(13);
  });

  it("two workers at once run each job once", async ({ expect, queue, under }) => {
    const ran: unknown[] = [];
    const tabs = [queue(), queue({ driver: await under.another() })];
    for (const tab of tabs) tab.on("job:email", (payload) => ran.push(payload));
    await tabs[0]?.addJobs(Array.from({ length: 60 }, (_, n) => ({ name: "email", payload: n })));
    await Promise.all(tabs.map((tab) => tab.drain({ concurrency: 3 })));
    // The worker that drained first may have left jobs to the other; both have stopped by now.
    expect(ran.length).toBe(60);
    expect(new Set(ran).size).toBe(60);
  });

  it("a worker without any handler says so once, and works once it has one", async ({ expect, queue }) => {
    const mail = queue();
    const faults = gather(mail, "error");
    const id = await mail.addJob("email", 1);
    await mail.drain();
    await mail.run();
    await mail.addJob("email", 2);
    await mail.stop();
    expect(faults.map(({ error }) => (error as QuaysideError).code)).toEqual(["unknown_job", "unknown_job"]);
    expect(await mail.get(id)).toMatchObject({ state: "waiting" });
    mail.on("job:email", () => {});
    await mail.drain();
    expect(await mail.counts()).toMatchObject({ completed: 2 });
  });

  it("R17: unknown names step aside, and the worker says so once", async ({ expect, queue }) => {
    const mail = queue();
    const faults = gather(mail, "error");
    mail.on("job:email", () => {});
    await mail.addJobs([
      { name: "sms", payload: 1 },
      { name: "email", payload: 2 },
      { name: "sms", payload: 3 },
    ]);
    await mail.drain();
    await mail.addJob("sms", 4);
    await mail.drain();
    expect(faults.map(({ error }) => (error as QuaysideError).code)).toEqual(["unknown_job", "unknown_job"]);
    expect(await mail.counts()).toMatchObject({ waiting: 3, completed: 1 });
    const done = gather(mail, "completed");
    mail.on("job:sms", () => {});
    await mail.drain();
    expect(done.map(({ job }) => job.payload)).toEqual([1, 3, 4]);
  });

  it("processNext() runs one job and says whether there was one", async ({ expect, worker, queue, driver }) => {
    const mail = queue();
    await mail.addJobs([1, 2].map((payload) => ({ name: "email", payload })));
    const ran: unknown[] = [];
    const one = worker(driver, { queues: [{ name: QUEUE, run: (job) => ran.push(job.payload) }] });
    expect(await one.processNext()).toBe(true);
    expect(ran).toEqual([1]);
    expect(await one.processNext(QUEUE)).toBe(true);
    expect(await one.processNext()).toBe(false);
    expect([one.processedCount, one.failedCount, one.status]).toEqual([2, 0, "stopped"]);
  });

  it("maxJobs stops the worker after so many jobs", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {});
    await mail.addJobs([1, 2, 3].map((payload) => ({ name: "email", payload })));
    const done = gather(mail, "completed");
    const idle = next(mail, "idle");
    await mail.run({ maxJobs: 2 });
    await idle;
    await mail.stop();
    expect(done).toHaveLength(2);
    expect(await mail.counts()).toMatchObject({ waiting: 1 });
  });

  it("a paused queue is not worked until it is resumed, and then at once", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {});
    await mail.pause();
    await mail.addJob("email", null);
    const idle = next(mail, "idle");
    await mail.run();
    await idle;
    expect(await mail.counts()).toMatchObject({ waiting: 1, paused: true });
    const completed = next(mail, "completed");
    await mail.resume();
    await completed;
  });

  it("a listener that throws harms nobody: its error becomes an error event", async ({ expect, queue }) => {
    const mail = queue();
    const faults = gather(mail, "error");
    mail.on("job:email", () => {});
    mail.on("completed", () => {
      throw new Error("listener");
    });
    const id = await mail.addJob("email", null);
    await mail.drain();
    expect(faults.map(({ error }) => (error as Error).message)).toEqual(["listener"]);
    expect(await mail.get(id)).toMatchObject({ state: "completed" });
  });
});
