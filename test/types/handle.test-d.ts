import { defineJobs, memoryDriver, Queue, type } from "@quayside/core";
import { describe, expectTypeOf, it } from "vitest";

const jobs = defineJobs({
  email: { input: type<{ to: string }>(), output: type<string>() },
  resize: { input: type<{ width: number }>() },
});
const queue = new Queue("mail", memoryDriver(), { jobs });

describe("queue.handle", () => {
  it("types payload and result by the job's name", () => {
    queue.handle({
      email: ({ to }, ctx) => {
        expectTypeOf(to).toBeString();
        expectTypeOf(ctx.signal).toEqualTypeOf<AbortSignal>();
        return to;
      },
      resize: ({ width }) => expectTypeOf(width).toBeNumber(),
    });
    // @ts-expect-error a result that the output does not take
    queue.handle({ email: () => 1, resize: () => {} });
  });

  it("refuses a job that is left out, and a name that there is not", () => {
    // @ts-expect-error resize is missing
    queue.handle({ email: ({ to }) => to });
    queue.handle({ email: ({ to }) => to }, { partial: true });
    // @ts-expect-error there is no job fax
    queue.handle({ email: ({ to }) => to, fax: () => {} }, { partial: true });
    // @ts-expect-error partial false says nothing
    queue.handle({ email: ({ to }) => to }, { partial: false });
  });

  it("takes a plain interface, and a queue of any job", () => {
    interface Jobs {
      ping: { host: string };
    }
    new Queue<Jobs>("net", memoryDriver()).handle({ ping: ({ host }) => expectTypeOf(host).toBeString() });
    new Queue("any", memoryDriver()).handle({ a: () => 1 });
  });
});
