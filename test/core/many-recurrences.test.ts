import { memoryDriver, Queue } from "@quayside/core";
import { expect, it } from "vitest";

it("W: all of 11,000 recurrences are listed, and ended one by one", async () => {
  const driver = memoryDriver();
  const rule = { kind: "every", everyMs: 3_600_000 } as const;
  const job = { queue: "mail", name: "email", payload: "1" };
  for (let index = 0; index < 11_000; index++)
    await driver.command({ type: "schedule", queue: "mail", key: `key ${index}`, rule, job });
  const keys = (await driver.schedules("mail")).map(({ key }) => key);
  expect(new Set(keys).size).toBe(11_000);
  for (const key of keys) await driver.command({ type: "unschedule", queue: "mail", key });
  expect(await new Queue("mail", driver).counts()).toMatchObject({ delayed: 0 });
});
