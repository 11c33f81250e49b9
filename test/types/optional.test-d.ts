import { type JobOptions, memoryDriver, Queue, type QueueOptions, QueueWorker } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { createManualClock, drain } from "@quayside/testing";
import { describe, it } from "vitest";

/** A setting that an app may lack. */
declare const maybe: undefined;

describe("a duration", () => {
  it("is ms or a text with a unit, wherever a time is given", async () => {
    const queue = new Queue("mail", memoryDriver());
    const clock = createManualClock();
    await clock.advance("5s");
    clock.jump("1h");
    await drain(queue, { clock, until: "30d" });
    await queue.clear({ olderThan: 60_000 });
    await queue.configure({ rateLimit: { max: 1, per: 1_000 } });
    await queue.schedule("often", { every: 300_000, name: "sync", payload: null });
    // @ts-expect-error a unit is ms, s, m, h, d or w
    await clock.advance("5 seconds");
    // @ts-expect-error nor is there one without a number
    await drain(queue, { until: "soon" });
  });
});

describe("an option that is undefined", () => {
  it("is taken as absent by every function of core and testing", async () => {
    const queue = new Queue<Record<string, unknown>>("mail", memoryDriver({ clock: maybe, cron: maybe }), {
      jobs: maybe,
      clock: maybe,
    } satisfies QueueOptions);
    await queue.addJob("email", 1, { delay: maybe, dedupe: maybe, expiresIn: maybe, tags: maybe } satisfies JobOptions);
    await queue.schedule("nightly", {
      every: "1d",
      limit: maybe,
      startAt: maybe,
      overlap: maybe,
      name: "report",
      payload: null,
    });
    await queue.list({ state: maybe, tags: maybe, limit: maybe, cursor: maybe });
    await queue.addFlow({ name: "album", payload: 1, children: maybe });
    await new QueueWorker(queue, { concurrency: maybe, lease: maybe }).stop({ timeout: maybe });
    httpDriver({ url: "https://example.com", token: "t", fetch: maybe, clock: maybe });
    await drain(queue, { clock: createManualClock(), until: maybe });
  });
});
