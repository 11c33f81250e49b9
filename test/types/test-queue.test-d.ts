import { defineJob, defineJobs, type Queue } from "@quayside/core";
import { type ManualClock, testQueue } from "@quayside/testing";
import { describe, expectTypeOf, it } from "vitest";

const jobs = defineJobs({ email: defineJob<{ to: string }>({}) });

describe("testQueue", () => {
  it("types its queue by the job map and ctx", async () => {
    const { queue, clock, drain, advance } = testQueue({ jobs, ctx: { db: "db" } });
    expectTypeOf(queue).toExtend<Queue<typeof jobs, { db: string }>>();
    expectTypeOf(clock).toEqualTypeOf<ManualClock>();
    queue.addJob("email", { to: "ada" });
    // @ts-expect-error not its payload
    queue.addJob("email", { to: 1 });
    await drain({ until: "1d" });
    await advance("5m");
    // @ts-expect-error a duration has a known unit
    await advance("5 minutes");
    // @ts-expect-error the clock is the test's own
    testQueue({ clock });
    testQueue<{ ping: { host: string } }>().queue.addJob("ping", { host: "a" });
  });
});
