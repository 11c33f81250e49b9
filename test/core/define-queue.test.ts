import { defineJobs, defineQueue, memoryDriver, Queue, QueueWorker, systemClock, type } from "@quayside/core";
import { cron } from "@quayside/core/cron";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";

const jobs = defineJobs({
  email: { input: type<{ to: string }>(), maxAttempts: 7 },
  report: { input: type<{ kind: string }>() },
});

const mail = defineQueue("mail", {
  jobs,
  maxActive: 2,
  keep: { completed: 1 },
  schedules: { nightly: { every: "1d", name: "report", payload: { kind: "daily" } } },
});

describe("a queue made from its definition", () => {
  it("has the definition's name, jobs and their options", async () => {
    const queue = new Queue(mail, memoryDriver());
    expect(queue.name).toBe("mail");
    const id = await queue.addJob("email", { to: "ada" });
    expect(await queue.get(id)).toMatchObject({ queue: "mail", maxAttempts: 7 });
    await expect(queue.addJob("fax" as "email", { to: "ada" })).rejects.toMatchObject({ code: "unknown_job" });
  });

  it("stores settings and recurrences as its worker starts", async () => {
    const driver = memoryDriver();
    const queue = new Queue(mail, driver);
    let most = 0;
    let running = 0;
    queue.on("job:email", async () => {
      most = Math.max(most, ++running);
      await systemClock.nextTask();
      running--;
    });
    queue.on("job:report", () => {});
    await queue.addJobs(["a", "b", "c", "d"].map((to) => ({ name: "email", payload: { to } })));
    await queue.run();
    expect(await queue.schedules()).toMatchObject([{ key: "nightly", name: "report", payload: { kind: "daily" } }]);
    await queue.drain();
    expect(most).toBe(2);
    expect(await queue.counts()).toMatchObject({ completed: 1, delayed: 1 });
    await queue.close();
  });

  it("also in a QueueWorker, once; an unchanged recurrence keeps its pending job", async () => {
    const clock = createManualClock();
    const driver = memoryDriver({ clock });
    const once = new Queue(mail, driver);
    once.on("job:report", () => {});
    const worker = new QueueWorker([once]);
    await worker.start();
    const [first] = (await once.list({ state: "delayed" })).jobs;
    await worker.stop();
    await once.unschedule("nightly");
    await worker.start();
    expect(await once.schedules()).toEqual([]);
    await worker.stop();

    const again = new Queue(mail, driver);
    again.on("job:report", () => {});
    await again.run();
    const [second] = (await again.list({ state: "delayed" })).jobs;
    await again.stop();
    const third = new Queue(mail, driver);
    third.on("job:report", () => {});
    await third.run();
    expect(second?.id).not.toBe(first?.id);
    expect((await third.list({ state: "delayed" })).jobs).toEqual([second]);
    await third.close();
  });

  it("null ends a recurrence that an earlier version declared", async () => {
    const driver = memoryDriver();
    const before = new Queue(mail, driver);
    before.on("job:report", () => {});
    await before.run();
    await before.stop();
    const after = new Queue(defineQueue("mail", { jobs, schedules: { nightly: null } }), driver);
    after.on("job:report", () => {});
    await after.run();
    expect(await after.schedules()).toEqual([]);
    expect(await after.counts()).toMatchObject({ delayed: 0 });
    await after.close();
  });

  it("run rejects if the store refuses what is declared, and a later run tries again", async () => {
    const nightly = defineQueue("mail", {
      jobs,
      schedules: { nightly: { cron: "0 3 * * *", name: "report", payload: { kind: "daily" } } },
    });
    const without = new Queue(nightly, memoryDriver());
    without.on("job:report", () => {});
    await expect(without.run()).rejects.toMatchObject({ code: "invalid_option", message: /cron/ });
    await expect(without.run()).rejects.toMatchObject({ code: "invalid_option" });
    const queue = new Queue(nightly, memoryDriver({ cron }));
    queue.on("job:report", () => {});
    await queue.run();
    expect(await queue.schedules()).toMatchObject([{ key: "nightly", rule: { cron: "0 3 * * *" } }]);
    await queue.close();
  });
});

it.each([
  ["no driver", () => new Queue(mail, undefined as never), /driver/],
  ["a driver that is null", () => new Queue(mail, null as never), /driver/],
  ["a driver that is not called", () => new Queue(mail, memoryDriver as never), /memoryDriver: call it/],
  ["a definition without a name", () => new Queue({} as never, memoryDriver()), /queue name/],
  ["a definition that is null", () => new Queue(null as never, memoryDriver()), /queue name/],
  ["jobs that defineJobs has not made", () => new Queue({ name: "x", jobs: {} }, memoryDriver()), /defineJobs/],
])("a queue of a definition refuses %s", (_, make, message) => expect(make).toThrow(message));

describe("defineQueue refuses by name", () => {
  it.each([
    ["an empty name", () => defineQueue("", {}), /queue name/],
    ["an unknown setting", () => defineQueue("mail", { maxactive: 1 } as object), /maxactive/],
    ["a wrong setting", () => defineQueue("mail", { maxActive: 0 }), /maxActive/],
    ["jobs that defineJobs has not made", () => defineQueue("mail", { jobs: {} } as never), /defineJobs/],
    ["options that are none", () => defineQueue("mail", null as never), /options/],
    ["schedules that are none", () => defineQueue("mail", { schedules: 1 as never }), /schedules/],
    ["a recurrence that is none", () => defineQueue("mail", { schedules: { x: 1 as never } }), /recurrence/],
    [
      "a recurrence without a time",
      () => defineQueue("mail", { schedules: { x: { name: "a" } as never } }),
      /every or cron/,
    ],
    [
      "a recurrence of an unknown job",
      () => defineQueue("mail", { jobs, schedules: { x: { every: 1000, name: "fax" } } } as never),
      /schedules\.x\.name/,
    ],
  ])("%s", (_, define, message) => {
    expect(define).toThrow(message);
    expect(define).toThrow(expect.objectContaining({ code: "invalid_option" }));
  });
});
