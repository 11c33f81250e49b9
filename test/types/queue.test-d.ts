import {
  defineJobs,
  type HandlerContext,
  type JobId,
  type JobOf,
  type JobRecord,
  memoryDriver,
  Queue,
} from "@quayside/core";
import { describe, expectTypeOf, it } from "vitest";
import { z } from "zod";

interface Jobs {
  email: { to: string; subject: string; body: string };
  "image-resize": { url: string; width: number; height: number };
}

const queue = new Queue<Jobs>("mail", memoryDriver());
const email = { to: "ada@example.com", subject: "Hello", body: "Body" };

describe("a job map of types", () => {
  it("types the payload by the job's name", () => {
    expectTypeOf(queue.addJob<"email">)
      .parameter(1)
      .toEqualTypeOf<Jobs["email"]>();
    expectTypeOf(queue.addJob("email", email)).resolves.toBeString();
    queue.on("job:image-resize", (payload, ctx) => {
      expectTypeOf(payload).toEqualTypeOf<Jobs["image-resize"]>();
      expectTypeOf(ctx).toExtend<HandlerContext<Jobs["image-resize"]>>();
      expectTypeOf(ctx.signal).toEqualTypeOf<AbortSignal>();
    });
  });

  it("refuses what the map does not have", () => {
    // @ts-expect-error no such job
    queue.addJob("emial", email);
    // @ts-expect-error the payload lacks its body
    queue.addJob("email", { to: "ada@example.com", subject: "Hello" });
    // @ts-expect-error a payload of another job
    queue.addJob("image-resize", email);
    // @ts-expect-error a wrong type inside the payload
    queue.addJob("image-resize", { url: "https://example.com/a.png", width: "800", height: 600 });
    // @ts-expect-error no such event
    queue.on("complete", () => {});
    // @ts-expect-error no such job to handle
    queue.on("job:emial", () => {});
    queue.on(
      "job:email",
      // @ts-expect-error the handler wants another payload; the compiler says so here
      (payload: { width: number }) => payload,
    );
    queue.addJobs([
      { name: "email", payload: email },
      // @ts-expect-error a wrong payload; the compiler says so here
      { name: "image-resize", payload: { ...email } },
    ]);
    // @ts-expect-error durations carry a known unit
    queue.addJob("email", email, { delay: "5 minutes" });
    // @ts-expect-error no such option
    queue.addJob("email", email, { atempts: 3 });
    // @ts-expect-error no such kind of backoff
    queue.addJob("email", email, { backoff: { kind: "quadratic", delay: "1s" } });
    // @ts-expect-error name and payload do not belong together
    queue.addJobs([{ name: "image-resize", payload: email }]);
    // @ts-expect-error the builder knows the map too
    queue.delay("5s").addJob("email", { to: 1 });
  });

  it("adds several jobs, each with its own payload", () => {
    const jobs = [
      { name: "email", payload: email, priority: 5 },
      { name: "image-resize", payload: { url: "https://example.com/a.png", width: 8, height: 6 } },
    ] as const;
    expectTypeOf(queue.addJobs(jobs)).resolves.toEqualTypeOf<readonly JobId<"email" | "image-resize">[]>();
    expectTypeOf(queue.delay("10s").priority(5).addJob("email", email)).resolves.toBeString();
  });

  it("types what comes back", () => {
    expectTypeOf(queue.get<"email">("1")).resolves.toEqualTypeOf<JobRecord<Jobs["email"], "email"> | undefined>();
    queue.on("completed", ({ job, result, durationMs }) => {
      expectTypeOf(job).toEqualTypeOf<JobOf<Jobs>>();
      expectTypeOf(result).toBeUnknown();
      expectTypeOf(durationMs).toBeNumber();
    });
    queue.on("failed", (event) => {
      // @ts-expect-error a failed job has no result
      event.result;
    });
  });
});

describe("a job map with schemas", () => {
  const jobs = defineJobs({
    email: {
      input: z.object({ to: z.email(), subject: z.string().default("(none)"), at: z.coerce.date() }),
      maxAttempts: 5,
      backoff: { kind: "exponential", delay: "1s", max: "1h", jitter: 0.5 },
      timeout: "30s",
    },
    ping: {},
  });
  const defined = new Queue("mail", memoryDriver(), { jobs });

  it("is inferred: the schema's input when adding, its output in the handler", () => {
    defined.addJob("email", { to: "ada@example.com", at: "2026-01-01" });
    defined.on("job:email", (payload) => {
      expectTypeOf(payload).toEqualTypeOf<{ to: string; subject: string; at: Date }>();
    });
    // @ts-expect-error no such job
    defined.addJob("emial", {});
    // @ts-expect-error the payload lacks its address
    defined.addJob("email", { at: "2026-01-01" });
    // @ts-expect-error no such job to handle
    defined.on("job:emial", () => {});
  });

  it("refuses a definition that is wrong", () => {
    // @ts-expect-error durations carry a known unit
    defineJobs({ email: { timeout: "soon" } });
    // @ts-expect-error attempts are a number
    defineJobs({ email: { maxAttempts: "5" } });
  });
});
