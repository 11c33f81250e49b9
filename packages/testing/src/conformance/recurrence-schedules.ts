import type { Schedule } from "@quayside/core";
import type { NewJob, RecurrenceRule } from "@quayside/core/engine";
import { newJob, type Scene } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

export const HOUR_MS = 3_600_000;

export const hourly: RecurrenceRule = { kind: "every", everyMs: HOUR_MS };

export const schedule = (
  { driver }: Pick<Scene, "driver">,
  rule: RecurrenceRule = hourly,
  job: Partial<NewJob> = {},
  key = "tidy",
) => driver.command({ type: "schedule", queue: QUEUE, key, rule, job: newJob(job) });

/** Returns the only recurrence of the queue. */
export async function only({ driver, expect }: Pick<Scene, "driver" | "expect">): Promise<Schedule> {
  const found = await driver.schedules(QUEUE);
  expect(found).toHaveLength(1);
  return found[0] as Schedule;
}

/** Returns the number of the queue's waiting and delayed jobs. */
export async function pending({ counts }: Pick<Scene, "counts">): Promise<number> {
  const { waiting, delayed } = await counts();
  return waiting + delayed;
}
