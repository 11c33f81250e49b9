import { type BatchJob, defineJobs, memoryDriver, Queue } from "@quayside/core";
import { describe, expectTypeOf, it } from "vitest";
import { z } from "zod";

interface Jobs {
  index: { url: string };
  email: { to: string };
}

describe("a batch handler", () => {
  it("gets jobs with the payload of their name, and a ctx typed by the job map", () => {
    const queue = new Queue<Jobs, { db: string }>("pages", memoryDriver());
    queue.onBatch("job:index", { size: 100, wait: "2s" }, async (jobs, ctx) => {
      expectTypeOf(jobs).toEqualTypeOf<readonly BatchJob<Jobs, "index">[]>();
      expectTypeOf<(typeof jobs)[number]["payload"]>().toEqualTypeOf<{ url: string }>();
      expectTypeOf(ctx.signal).toEqualTypeOf<AbortSignal>();
      expectTypeOf(ctx.db).toBeString();
      await ctx.addJob("email", { to: "ada@example.com" });
      // @ts-expect-error no such job
      ctx.addJob("emial", { to: "ada@example.com" });
      // @ts-expect-error the ctx of a batch concerns no single job
      ctx.progress(1);
    });
  });

  it("completes a job with what its output schema takes", () => {
    const jobs = defineJobs({ index: { input: z.object({ url: z.string() }), output: z.number() } });
    const queue = new Queue("pages", memoryDriver(), { jobs });
    queue.onBatch("job:index", { size: 1 }, ([job]) => {
      job?.complete(1);
      // @ts-expect-error the output schema takes a number
      job?.complete("one");
      job?.fail(new Error("no"));
    });
  });

  it("refuses wrong names and options", () => {
    const queue = new Queue<Jobs>("pages", memoryDriver());
    // @ts-expect-error no such job
    queue.onBatch("job:indx", { size: 1 }, () => {});
    // @ts-expect-error size is required
    queue.onBatch("job:index", {}, () => {});
    // @ts-expect-error not a duration
    queue.onBatch("job:index", { size: 1, wait: "soon" }, () => {});
    // @ts-expect-error unknown option
    queue.onBatch("job:index", { size: 1, most: 2 }, () => {});
  });
});
