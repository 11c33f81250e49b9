import { QuaysideError } from "@quayside/core";
import { gather, heldHandler, next, spyOnExchanges, topic } from "./support.ts";

/** Test cases about one attempt: its handlers, timeout, cancellation, progress and result. */
export const attemptCases = topic("attempts", (it) => {
  it("a job added to an idle worker is taken at once, without the clock moving", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => "sent");
    const idle = next(mail, "idle");
    await mail.run();
    await idle;
    const completed = next(mail, "completed");
    const id = await mail.addJob("email", { to: "ada" });
    expect(await completed).toMatchObject({ job: { id, attempts: 1, payload: { to: "ada" } }, result: "sent" });
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: "sent", attempts: 1 });
  });

  it("handlers of one name run in order of registration; the result is the first one's", async ({ expect, queue }) => {
    const mail = queue();
    const order: string[] = [];
    mail.on("job:email", () => order.push("first") && "first");
    mail.on("job:email", () => order.push("second") && "second");
    await mail.addJob("email", null);
    const completed = next(mail, "completed");
    await mail.run();
    expect(await completed).toMatchObject({ result: "first" });
    expect(order).toEqual(["first", "second"]);
  });

  it("a result that JSON cannot hold is an error that names the place, not a hang", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => ({ rows: [1, 10n] }));
    const id = await mail.addJob("email", null);
    await mail.drain();
    const job = await mail.get(id);
    expect(job).toMatchObject({ state: "failed", error: { code: "invalid_result" } });
    expect(job?.error?.message).toContain("result.rows[1]");
  });

  it("R12: a timeout aborts the signal, and the attempt fails when the handler comes back", async ({
    expect,
    queue,
    advance,
  }) => {
    const mail = queue();
    const { run, begun, aborted } = heldHandler({ heeds: true });
    mail.on("job:email", run);
    const id = await mail.addJob("email", null, { timeout: "2s", maxAttempts: 1 });
    const failed = next(mail, "failed");
    await mail.run();
    await begun;
    await advance(2_000);
    expect(await aborted).toMatchObject({ code: "timeout" });
    expect(await failed).toMatchObject({ error: { code: "timeout" } });
    expect(await mail.get(id)).toMatchObject({ state: "failed", error: { code: "timeout" } });
  });

  it("R12: a handler that ignores its timeout is settled after the grace, and keeps its slot until it returns", async ({
    expect,
    queue,
    advance,
  }) => {
    const mail = queue();
    const stubborn = heldHandler();
    const started: string[] = [];
    mail.on("job:stubborn", (payload, ctx) => stubborn.run(payload, ctx));
    mail.on("job:email", () => started.push("email"));
    const id = await mail.addJob("stubborn", null, { timeout: "2s", maxAttempts: 1 });
    await mail.addJob("email", null);
    const failed = next(mail, "failed");
    await mail.run({ concurrency: 1 });
    await stubborn.begun;
    await advance(2_000);
    await stubborn.aborted;
    expect(await mail.get(id)).toMatchObject({ state: "active" });
    await advance(5_000);
    await failed;
    expect(await mail.get(id)).toMatchObject({ state: "failed", error: { code: "timeout" } });
    expect(started).toEqual([]);
    const completed = next(mail, "completed");
    stubborn.finish("too late");
    expect(await completed).toMatchObject({ job: { name: "email" } });
    expect(await mail.get(id)).toMatchObject({ state: "failed" });
  });

  it("R11: a cancel reaches the running handler, and the attempt settles as cancelled", async ({ expect, queue }) => {
    const mail = queue();
    const { run, begun, aborted } = heldHandler({ heeds: true });
    mail.on("job:email", run);
    const id = await mail.addJob("email", null);
    const cancelled = next(mail, "cancelled");
    await mail.run();
    await begun;
    expect(await mail.cancel(id)).toMatchObject({ affected: 1, state: "active" });
    expect(await aborted).toMatchObject({ code: "cancelled" });
    await cancelled;
    expect(await mail.get(id)).toMatchObject({ state: "cancelled" });
  });

  it("progress is told at once here, and stands with the job for others within a second", async ({
    expect,
    queue,
    advance,
    driver,
  }) => {
    const spy = spyOnExchanges(driver);
    const mail = queue({ driver: spy.driver });
    const { run, begun, finish } = heldHandler();
    mail.on("job:email", run);
    const id = await mail.addJob("email", null);
    const told = gather(mail, "progress");
    await mail.run();
    const ctx = await begun;
    ctx.progress({ done: 1 });
    ctx.progress({ done: 2 });
    expect(told.map(({ progress }) => progress)).toEqual([{ done: 1 }, { done: 2 }]);
    const before = spy.seen.length;
    await advance(1_000);
    const completed = next(mail, "completed");
    finish("done");
    await completed;
    expect(spy.seen.slice(before).some(({ request }) => request.progress?.[0]?.value)).toBe(true);
    expect(await mail.get(id)).toMatchObject({ state: "completed" });
  });

  it("a payload that JSON cannot hold is refused when adding, naming the place, and nothing is stored", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    await expect(mail.addJob("email", { to: ["ada", () => {}] })).rejects.toMatchObject({
      code: "invalid_payload",
      details: { issues: [{ path: "to[1]" }] },
    });
    await expect(
      mail.addJobs([
        { name: "email", payload: 1 },
        { name: "email", payload: Number.NaN },
      ]),
    ).rejects.toMatchObject({ code: "invalid_payload" });
    await expect(mail.addJob("email", "x".repeat(200_000))).rejects.toMatchObject({ code: "payload_too_large" });
    expect(await mail.size()).toBe(0);
  });

  it("an error thrown by the handler keeps its Quayside code", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {
      throw new QuaysideError("network", "no route");
    });
    const id = await mail.addJob("email", null, { maxAttempts: 1 });
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ error: { code: "network", message: "no route" } });
  });
});
