import { LIMITS, QuaysideError } from "@quayside/core";
import type { ExchangeRequest } from "@quayside/core/engine";
import { revoked } from "./revoked-proxy.ts";
import { gate, gather, next, spyOnExchanges, topic, wrap } from "./support.ts";

const text = (bytes: number): string => "x".repeat(bytes);

/** Test cases about the limits of results, progress, logs and errors, and refused requests. */
export const boundCases = topic("bounds", (it) => {
  it("R29: a result of more than 128 KiB of JSON fails its job for good, and its neighbours complete", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    const runs: number[] = [];
    mail.on("job:large", (bytes) => {
      runs.push(bytes as number);
      return text(bytes as number);
    });
    // Two double quotes are part of the JSON.
    const sizes = [LIMITS.resultBytes - 1, LIMITS.resultBytes - 2, 1_200_000, 10];
    const ids = await mail.addJobs(sizes.map((payload) => ({ name: "large", payload, backoff: 0 })));
    await mail.drain();
    const found = await Promise.all(ids.map((id) => mail.get(id)));
    expect(found.map((job) => job?.state)).toEqual(["failed", "completed", "failed", "completed"]);
    expect(found[0]?.error?.code).toBe("result_too_large");
    expect(found[2]).toMatchObject({ attempts: 1, error: { code: "result_too_large" } });
    expect(runs).toEqual(sizes);
  });

  it("R29: results that are too much for one exchange are settled in several, each job once", async ({
    driver,
    expect,
    queue,
  }) => {
    const spied = spyOnExchanges(driver);
    const mail = queue({ driver: spied.driver });
    let runs = 0;
    mail.on("job:large", () => {
      runs++;
      // Double quotes are the worst case: they are escaped twice.
      return '"'.repeat(60_000);
    });
    const ids = await mail.addJobs(Array.from({ length: 20 }, () => ({ name: "large", payload: null })));
    await mail.drain({ concurrency: 20 });
    expect(runs).toBe(20);
    expect(await mail.counts()).toMatchObject({ completed: 20, failed: 0, active: 0 });
    expect(await mail.get(ids[19] as string)).toMatchObject({ result: '"'.repeat(60_000) });
    for (const { request } of spied.seen)
      expect(request.settle.length < 2 || JSON.stringify(request).length <= 1_000_000).toBe(true);
  });

  it("R29: progress of more than 128 KiB throws in the handler, and nothing of it is stored", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    mail.on("job:large", (_, ctx) => {
      ctx.progress({ step: 1 });
      try {
        ctx.progress(text(LIMITS.resultBytes));
      } catch (error) {
        return (error as QuaysideError).code;
      }
      return "stored";
    });
    const id = await mail.addJob("large", null);
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: "result_too_large", progress: { step: 1 } });
  });

  it("R29: message and stack of an error are cut at 8 KiB, and marked", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:large", () => {
      throw Object.assign(new Error("€".repeat(100_000)), { stack: text(100_000) });
    });
    const id = await mail.addJob("large", null, { maxAttempts: 1 });
    await mail.drain();
    const { message = "", stack = "" } = (await mail.get(id))?.error ?? {};
    for (const kept of [message, stack]) {
      expect(new TextEncoder().encode(kept).length).toBeLessThanOrEqual(LIMITS.errorTextBytes);
      expect(kept.length).toBeGreaterThan(2_000);
      expect(kept.endsWith("… (cut)")).toBe(true);
    }
  });

  it("R29: a line of log is cut at 4 KiB, and one that is no text is described", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:large", (_, ctx) => {
      for (const line of [text(9_000), Symbol("s"), revoked(), { a: 1 }, undefined]) ctx.log(line as string);
    });
    const id = await mail.addJob("large", null);
    await mail.drain();
    const logs = (await mail.get(id))?.logs ?? [];
    expect(logs).toHaveLength(5);
    expect(logs[0]?.length).toBeLessThanOrEqual(LIMITS.logLineBytes);
    expect(logs[0]?.endsWith("… (cut)")).toBe(true);
    expect(logs[3]).toBe('{"a":1}');
  });

  it("R29: what the running jobs of a worker report is kept up to 1 MiB together; all of them complete", async ({
    advance,
    expect,
    queue,
  }) => {
    const mail = queue();
    const open = gate();
    const all = gate();
    let begun = 0;
    mail.on("job:large", async (_, ctx) => {
      ctx.progress(text(100_000));
      for (let line = 0; line < 30; line++) ctx.log(text(4_000));
      if (++begun === 20) all.open();
      await open.opened;
    });
    const ids = await mail.addJobs(Array.from({ length: 20 }, () => ({ name: "large", payload: null })));
    await mail.run({ concurrency: 20 });
    await all.opened;
    for (let second = 0; second < 30; second++) {
      await advance(1_000);
      await mail.counts();
    }
    const { jobs } = await mail.list({ state: "active", limit: 20 });
    const bytes = jobs.reduce((sum, { logs, progress = "" }) => sum + JSON.stringify([logs, progress]).length, 0);
    expect(jobs).toHaveLength(20);
    expect(bytes).toBeLessThanOrEqual(LIMITS.reportBytes + 20 * 200);
    open.open();
    await mail.drain();
    for (const id of ids) expect(await mail.get(id)).toMatchObject({ state: "completed", attempts: 1 });
  });

  for (const [name, cause] of [
    ["too_large", new QuaysideError("too_large", "413")],
    ["bad_request", new QuaysideError("bad_request", "400")],
    ["DataCloneError", Object.assign(new Error("no clone"), { name: "DataCloneError" })],
  ] as const) {
    it(`R30: an exchange that is refused with ${name} is divided: its neighbours settle, the refused one fails`, async ({
      driver,
      expect,
      queue,
    }) => {
      const sent: ExchangeRequest[] = [];
      const poisoned = ({ settle }: ExchangeRequest) =>
        settle.some((one) => one.outcome === "completed" && one.result === '"poison"');
      const mail = queue({
        driver: wrap(driver, {
          exchange: async (request) => {
            sent.push(request);
            if (poisoned(request)) throw cause;
            return driver.exchange(request);
          },
        }),
      });
      mail.on("error", () => {});
      const runs: number[] = [];
      mail.on("job:part", (n) => {
        runs.push(n as number);
        return n === 7 ? "poison" : "fine";
      });
      const ids = await mail.addJobs(Array.from({ length: 20 }, (_, payload) => ({ name: "part", payload })));
      await mail.drain({ concurrency: 20 });
      const jobs = await Promise.all(ids.map((id) => mail.get(id)));
      expect(jobs.filter((job) => job?.state === "completed")).toHaveLength(19);
      expect(jobs[7]).toMatchObject({ state: "failed", attempts: 1 });
      expect(runs).toHaveLength(20);
      // Fewer each time: no request is repeated unchanged.
      const refused = sent.filter(poisoned).map(({ settle }) => JSON.stringify(settle));
      expect(refused.length).toBeLessThanOrEqual(10);
      expect(new Set(refused).size).toBe(refused.length);
    });
  }

  it("R30: reports that are refused are dropped and reported; their jobs complete", async ({
    advance,
    driver,
    expect,
    queue,
  }) => {
    const mail = queue({
      driver: wrap(driver, {
        exchange: async (request) => {
          if (request.progress) throw new QuaysideError("bad_request", "No reports.");
          return driver.exchange(request);
        },
      }),
    });
    const faults = gather(mail, "error");
    const open = gate();
    const begun = gate();
    mail.on("job:talks", async (_, ctx) => {
      ctx.log("a line");
      begun.open();
      await open.opened;
      ctx.log("another");
      return "done";
    });
    const id = await mail.addJob("talks", null);
    await mail.run();
    await begun.opened;
    await advance(1_000);
    const completed = next(mail, "completed");
    open.open();
    await completed;
    expect(await mail.get(id)).toMatchObject({ state: "completed", attempts: 1, result: "done" });
    expect(faults.length).toBeGreaterThan(0);
  });

  it("R40: a job that is released without a delay more than ten times in a row waits 1 s, then 2 s, up to 1 min", async ({
    advance,
    expect,
    queue,
  }) => {
    const mail = queue();
    let runs = 0;
    mail.on("job:spin", (_, ctx) => {
      runs++;
      return ctx.release();
    });
    const id = await mail.addJob("spin", null);
    await mail.drain();
    expect(runs).toBe(11);
    expect(await mail.get(id)).toMatchObject({ state: "delayed", attempts: 0 });
    for (const [waitMs, expected] of [
      [999, 11],
      [1, 12],
      [1_999, 12],
      [1, 13],
      [4_000, 14],
      [8_000, 15],
      [16_000, 16],
      [32_000, 17],
      [60_000, 18],
      [60_000, 19],
    ] as const) {
      await advance(waitMs);
      await mail.drain();
      expect(runs).toBe(expected);
    }
  });

  it("R40: a job that is retried without a delay more than ten times in a row waits 1 s, and starts afresh after a pause of its own", async ({
    advance,
    expect,
    queue,
  }) => {
    const mail = queue();
    let runs = 0;
    mail.on("job:spin", (_, ctx) => {
      if (++runs === 12) return ctx.release("5m");
      throw new Error("no");
    });
    const id = await mail.addJob("spin", null, { maxAttempts: 1_000_000, backoff: 0 });
    await mail.drain();
    expect(runs).toBe(11);
    await advance(1_000);
    await mail.drain();
    expect(runs).toBe(12);
    await advance(300_000);
    await mail.drain();
    expect(runs).toBe(23);
    expect(await mail.get(id)).toMatchObject({ state: "delayed" });
  });
});
