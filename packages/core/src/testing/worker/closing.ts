import { LeaseLostError, type QuaysideError } from "../../job/errors.ts";
import { LEASE_MS, TestWorker } from "../conformance/test-worker.ts";
import { gather, next, topic, wrap } from "./support.ts";

/** What crosses the end of a worker or of its lease: a bucket that fills slowly, a late result. */
export const closingCases = topic("closing", (it) => {
  it("R18: a slow rate limit does not delay stop()", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {});
    await mail.configure({ rateLimit: { max: 1, per: "1h" } });
    await mail.addJobs([1, 2, 3].map((payload) => ({ name: "email", payload })));
    const completed = next(mail, "completed");
    const idle = next(mail, "idle");
    await mail.run();
    await completed;
    await idle;
    await mail.stop();
    expect(await mail.counts()).toMatchObject({ waiting: 2, active: 0, completed: 1 });
  });

  it("R10: a result that comes after the lease went is told as lost, and the worker works on", async ({
    advance,
    driver,
    expect,
    queue,
  }) => {
    const rescuer = new TestWorker(driver);
    let late: string | undefined;
    const slow = wrap(driver, {
      enlist: async () => ({ liveness: "time", leave() {} }),
      async exchange(request) {
        // On its way to the store the result takes longer than the lease, and another worker has judged it meanwhile.
        if (late === undefined && request.settle.length > 0) {
          late = request.settle[0]?.token;
          await rescuer.look();
          await advance(LEASE_MS + 1);
          await rescuer.look();
        }
        return driver.exchange(request);
      },
    });
    const mail = queue({ driver: slow });
    const faults = gather(mail, "error");
    const done = gather(mail, "completed");
    mail.on("job:email", (payload) => payload);
    const id = await mail.addJob("email", "late");
    const lost = next(mail, "error", ({ error }) => error instanceof LeaseLostError);
    await mail.run({ lease: LEASE_MS });
    await lost;
    expect(await mail.get(id)).toMatchObject({ attempts: 0, interruptions: 1 });
    expect(done).toEqual([]);
    const completed = next(mail, "completed", ({ job }) => job.payload === "next");
    await mail.addJob("email", "next");
    await completed;
    expect(faults.map(({ error }) => (error as QuaysideError).code)).toEqual(["lease_lost"]);
  });
});
