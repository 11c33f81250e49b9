import { LeaseLostError, type QuaysideError } from "@quayside/core";
import { LEASE_MS, TestWorker } from "../conformance/test-worker.ts";
import { gate, gather, heldHandler, next, topic, wrap } from "./support.ts";

/**
 * Test cases about events around the end of a worker or of its lease: a claim in flight, a rate limit, a late result.
 */
export const closingCases = topic("closing", (it) => {
  it("R12: stop() during a claim leaves no handler running behind it, and what was claimed goes back uncounted", async ({
    advance,
    driver,
    expect,
    queue,
  }) => {
    const claimed = gate();
    const answer = gate();
    const slow = wrap(driver, {
      async exchange(request) {
        const reply = await driver.exchange(request);
        if (reply.jobs.length > 0) {
          claimed.open();
          await answer.opened;
        }
        return reply;
      },
    });
    const mail = queue({ driver: slow });
    const { run, begun, aborted } = heldHandler({ heeds: true });
    const seen: string[] = [];
    void begun.then(() => seen.push("begun"));
    void aborted.then(() => seen.push("aborted"));
    mail.on("job:email", run);
    const id = await mail.addJob("email", null);
    await mail.run();
    await claimed.opened;
    const stopped = mail.stop({ timeout: "3s" });
    answer.open();
    await Promise.race([begun, stopped]);
    for (let second = 0; second < 10; second++) await advance(1_000);
    await stopped;
    expect(await mail.get(id)).toMatchObject({ state: "waiting", attempts: 0 });
    // Not starting the job is allowed; leaving it running is not.
    if (seen.length > 0) expect(seen).toEqual(["begun", "aborted"]);
  });

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
      register: async () => ({ liveness: "time", leave() {} }),
      async exchange(request) {
        // The result takes longer than the lease to reach the store; another worker has recovered the job meanwhile.
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
