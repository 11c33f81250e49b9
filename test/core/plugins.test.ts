import { everything, Queue } from "@quayside/core";
import { MemoryStore, type NewJob, StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";

interface Jobs {
  note: string;
}

function open(plugins = [] as ReturnType<typeof everything>) {
  const clock = createManualClock();
  const driver = new StoreDriver(new MemoryStore(), { clock, plugins });
  return { clock, driver, queue: new Queue<Jobs>("notes", driver, { clock }) };
}

describe("a driver without plugins", () => {
  it("adds, runs, retries and keeps plain jobs", async () => {
    const { clock, queue } = open();
    let runs = 0;
    queue.on("job:note", () => {
      if (++runs === 1) throw new Error("first");
      return runs;
    });
    const id = await queue.addJob("note", "a", { delay: 1_000, priority: 3, tags: ["x"], backoff: 500 });
    await clock.advance(1_000);
    await queue.drain();
    await clock.advance(500);
    await queue.drain();
    expect(await queue.get(id)).toMatchObject({ state: "completed", attempts: 2, result: 2 });
  });

  it.each([
    ["dedupe", { dedupe: { key: "k" } }],
    ["group", { group: { key: "k" } }],
    ["expiresInMs", { expiresIn: "1m" }],
  ] as const)("refuses the job option %s, stores nothing, and says what is missing", async (option, options) => {
    const { queue } = open();
    await expect(
      queue.addJobs([
        { name: "note", payload: "a" },
        { name: "note", payload: "b", ...options },
      ]),
    ).rejects.toMatchObject({
      code: "invalid_option",
      details: { option },
      message: expect.stringContaining("plugin"),
    });
    expect(await queue.counts()).toMatchObject({ waiting: 0 });
  });

  it("refuses flows, numbered requests, recurrences and limits", async () => {
    const { driver, queue } = open();
    const job: NewJob = { queue: "notes", name: "note", payload: "null" };
    const refusal = { code: "invalid_option" };
    await expect(
      queue.addFlow({ name: "note", payload: "a", children: [{ name: "note", payload: "b" }] }),
    ).rejects.toMatchObject({ ...refusal, details: { option: "flow" } });
    await expect(driver.enqueue([job], { sender: "s", number: 1, digest: "d" })).rejects.toMatchObject(refusal);
    await expect(queue.schedule("hourly", { every: "1h", name: "note", payload: "a" })).rejects.toMatchObject(refusal);
    await expect(queue.configure({ rateLimit: { max: 1, per: "1s" } })).rejects.toMatchObject({
      ...refusal,
      details: { option: "rateLimit" },
    });
    await expect(queue.configure({ maxActive: 1 })).rejects.toMatchObject({ details: { option: "maxActive" } });
    for (const call of [queue.list(), queue.schedules(), queue.retry("a"), queue.clear(), queue.unschedule("hourly")])
      await expect(call).rejects.toMatchObject(refusal);
    await queue.configure({ keep: { completed: 1 } });
    expect(await queue.counts()).toMatchObject({ waiting: 0, paused: false });
  });
});

it("a field that no plugin knows is refused", async () => {
  const { driver } = open(everything());
  const job = { queue: "notes", name: "note", payload: "null", officeHours: [9, 17] } as NewJob;
  await expect(driver.enqueue([job])).rejects.toMatchObject({
    code: "invalid_option",
    details: { option: "officeHours" },
  });
});
