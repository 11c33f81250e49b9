import { defineJobs, defineQueue, type JobId, memoryDriver, Queue, type } from "@quayside/core";
import { describe, expectTypeOf, it } from "vitest";

const jobs = defineJobs({
  email: { input: type<{ to: string }>(), output: type<{ id: string }>() },
  ping: {},
});
interface Plain {
  resize: { width: number };
}

describe("a defined queue", () => {
  it("types the queues that are made from it", async () => {
    const mail = defineQueue("mail", { jobs, maxActive: 2, shards: 4 });
    const queue = new Queue(mail, memoryDriver());
    const id = await queue.addJob("email", { to: "ada" });
    expectTypeOf(id).toEqualTypeOf<JobId<"email">>();
    expectTypeOf(await queue.waitFor(id)).toEqualTypeOf<{ id: string }>();
    // @ts-expect-error there is no such job
    queue.addJob("fax");
    // @ts-expect-error the payload lacks its address
    queue.addJob("email", {});
  });

  it("may have a plain interface for its jobs", () => {
    const images = defineQueue<Plain>("images", { maxActive: 2 });
    const queue = new Queue(images, memoryDriver());
    queue.addJob("resize", { width: 1 });
    // @ts-expect-error a width is a number
    queue.addJob("resize", { width: "1" });
  });

  it("checks its recurrences by the job map", () => {
    defineQueue("mail", { jobs, schedules: { hourly: { every: "1h", name: "email", payload: { to: "ada" } } } });
    defineQueue("mail", { jobs, schedules: { old: null } });
    // @ts-expect-error there is no such job
    defineQueue("mail", { jobs, schedules: { hourly: { every: "1h", name: "fax" } } });
    // @ts-expect-error the payload is that of another job
    defineQueue("mail", { jobs, schedules: { hourly: { every: "1h", name: "email", payload: { host: "x" } } } });
  });

  it("refuses typos, and a run-time map that is only a type", () => {
    // @ts-expect-error an option has no such name
    defineQueue("mail", { jobs, maxactive: 2 });
    // @ts-expect-error Pass { jobs }
    defineQueue<typeof jobs>("mail", { maxActive: 2 });
    // @ts-expect-error the jobs are those of the definition
    new Queue(defineQueue("mail", { jobs }), memoryDriver(), { jobs });
  });
});
