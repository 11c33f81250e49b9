import { type Connectivity, LIMITS, QuaysideError } from "@quayside/core";
import type { ExchangeRequest, Release } from "@quayside/core/engine";
import { gate, gather, next, topic, wrap } from "./support.ts";

const refusal = (code: "bad_request" | "forbidden") => new QuaysideError(code, `Refused: ${code}.`);

/** Test cases about ends of attempts, and refused exchanges, that must not block or repeat other work (R28 to R30). */
export const refusalCases = topic("refusals", (it) => {
  for (const delayMs of [Number.NaN, -5, Number.POSITIVE_INFINITY, "soon", null]) {
    it(`R28: a release whose delay the handler changed to ${delayMs} counts as a failure`, async ({
      expect,
      queue,
    }) => {
      const mail = queue();
      let runs = 0;
      mail.on("error", () => {});
      mail.on("job:odd", (_, ctx) => {
        if (++runs > 5) return;
        try {
          ctx.release("1m");
        } catch (error) {
          throw Object.assign(error as Release, { delayMs });
        }
      });
      const id = await mail.addJob("odd", null, { maxAttempts: 2, backoff: 0 });
      await mail.drain();
      expect(await mail.get(id)).toMatchObject({ state: "failed", attempts: 2 });
      expect(runs).toBe(2);
    });
  }

  it("R28: an attempt whose time is over settles although the platform's network status throws when it is read", async ({
    advance,
    expect,
    queue,
  }) => {
    let broken = false;
    const connectivity: Connectivity = {
      isOnline() {
        if (broken) throw new Error("no status");
        return true;
      },
      watch: () => () => {},
    };
    const mail = queue();
    mail.on("error", () => {});
    const begun = gate();
    const finish = gate();
    mail.on("job:withoutChanges", async () => {
      broken = true;
      begun.open();
      await finish.opened;
    });
    const id = await mail.addJob("withoutChanges", null, { maxAttempts: 1, timeout: "1s", requires: "network" });
    await mail.run({ connectivity });
    await begun.opened;
    const failed = next(mail, "failed");
    await advance(1_000);
    await advance(5_000);
    await failed;
    expect(await mail.get(id)).toMatchObject({ state: "failed", attempts: 1, error: { code: "timeout" } });
    finish.open();
  });

  it("R29: the code and the name of an error are cut at 256 characters", async ({ expect, queue }) => {
    const mail = queue();
    const long = `\ud800${"x".repeat(3_000_000)}`;
    mail.on("job:odd", () => {
      throw Object.assign(new QuaysideError("network", "no"), { code: long, name: long });
    });
    const id = await mail.addJob("odd", null, { maxAttempts: 1 });
    await mail.drain();
    const { state, error } = (await mail.get(id)) ?? {};
    expect(state).toBe("failed");
    for (const kept of [error?.code, error?.name]) expect(kept).toHaveLength(LIMITS.nameLength);
  });

  it("R29: a hundred lines of log, as long as a line may be, are all kept when they come at once", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    mail.on("job:talks", (_, ctx) => {
      for (let line = 0; line < 100; line++) ctx.log(`${line} ${"x".repeat(4_000)}`);
    });
    const id = await mail.addJob("talks", null);
    await mail.drain();
    const { state, logs = [] } = (await mail.get(id)) ?? {};
    expect(state).toBe("completed");
    expect(logs.map((line) => Number.parseInt(line, 10))).toEqual(Array.from({ length: 100 }, (_, line) => line));
  });

  it("R29: lines of log that JSON spells six times as long fill no more of a record than others", async ({
    advance,
    expect,
    queue,
  }) => {
    const mail = queue();
    const ready = gate();
    const open = gate();
    mail.on("job:binary", async (_, ctx) => {
      for (let line = 0; line < 100; line++) ctx.log("\u0000".repeat(4_000));
      ready.open();
      await open.opened;
    });
    const id = await mail.addJob("binary", null, { maxAttempts: 1 });
    await mail.run();
    await ready.opened;
    await advance(1_000);
    const completed = next(mail, "completed");
    open.open();
    await completed;
    const { state, logs = [] } = (await mail.get(id)) ?? {};
    expect(state).toBe("completed");
    expect(logs).toHaveLength(100);
    for (const line of logs) expect(JSON.stringify(line).length).toBeLessThanOrEqual(LIMITS.logLineBytes + 20);
  });

  for (const name of ["", "x".repeat(257), "\ud800", 7 as unknown as string]) {
    it(`R29: a worker whose name is ${JSON.stringify(name).slice(0, 12)} is refused when it is made`, async ({
      driver,
      expect,
      worker,
    }) => {
      let code: unknown;
      try {
        worker(driver, { name });
      } catch (error) {
        code = (error as QuaysideError).code;
      }
      expect(code).toBe("invalid_option");
    });
  }

  it("R30: one attempt that is refused costs its neighbours nothing of their progress and logs", async ({
    driver,
    expect,
    queue,
  }) => {
    const poisoned = ({ settle }: ExchangeRequest) =>
      settle.some((one) => one.outcome === "completed" && one.result === '"poison"');
    const mail = queue({
      driver: wrap(driver, {
        exchange: async (request) => {
          if (poisoned(request)) throw refusal("bad_request");
          return driver.exchange(request);
        },
      }),
    });
    mail.on("error", () => {});
    mail.on("job:part", (n, ctx) => {
      ctx.log(`part ${n}`);
      ctx.progress({ part: n as number });
      return n === 3 ? "poison" : "fine";
    });
    const ids = await mail.addJobs(Array.from({ length: 8 }, (_, payload) => ({ name: "part", payload })));
    await mail.drain({ concurrency: 8 });
    for (const [n, id] of ids.entries()) {
      if (n === 3) expect(await mail.get(id)).toMatchObject({ state: "failed", attempts: 1 });
      else expect(await mail.get(id)).toMatchObject({ state: "completed", progress: { part: n }, logs: [`part ${n}`] });
    }
  });

  for (const code of ["bad_request", "forbidden"] as const) {
    it(`R30: where claims are refused with ${code}, what runs is settled and renewed all the same, and claims are tried again later`, async ({
      advance,
      driver,
      expect,
      queue,
    }) => {
      let refusing = false;
      const mail = queue({
        driver: wrap(driver, {
          exchange: async (request) => {
            if (refusing && request.claim.limit > 0) throw refusal(code);
            return driver.exchange(request);
          },
        }),
      });
      const faults = gather(mail, "error");
      const open = gate();
      const begun = gate();
      let runs = 0;
      mail.on("job:part", async (n) => {
        if (++runs === 3) begun.open();
        if (n !== 0) await open.opened;
        return "done";
      });
      const names = [0, 1, 2].map((payload) => ({ name: "part", payload }));
      const ids = await mail.addJobs(names);
      refusing = false;
      const first = next(mail, "completed");
      await mail.run({ concurrency: 3 });
      await begun.opened;
      refusing = true;
      await first;
      const rest = [1, 2].map((n) => next(mail, "completed", ({ job }) => job.payload === n));
      // Longer than a lease: running jobs are renewed without a claim.
      for (let second = 0; second < 40; second++) {
        await advance(1_000);
        await mail.counts();
      }
      open.open();
      await Promise.all(rest);
      for (const id of ids) expect(await mail.get(id)).toMatchObject({ state: "completed", attempts: 1 });
      expect(runs).toBe(3);
      expect(faults.length).toBeGreaterThan(0);
      expect(faults.length < 60).toBe(true);
      refusing = false;
      const again = next(mail, "completed");
      await mail.addJob("part", 0);
      for (let step = 0; step < 3; step++) await advance(10_000);
      await again;
    });
  }

  it("R30: a refusal that is not the API's own (a bare 404 of a deployment) fails nothing: the exchange is sent again", async ({
    advance,
    driver,
    expect,
    queue,
  }) => {
    let refusals = 0;
    const mail = queue({
      driver: wrap(driver, {
        exchange: async (request) => {
          if (request.settle.length > 0 && ++refusals <= 3)
            throw new QuaysideError("bad_request", "The server answered 404.", { status: 404, bare: true });
          return driver.exchange(request);
        },
      }),
    });
    const faults = gather(mail, "error");
    let runs = 0;
    mail.on("job:part", () => {
      runs++;
      return "done";
    });
    const id = await mail.addJob("part", null);
    const completed = next(mail, "completed");
    let done = false;
    void completed.then(() => (done = true));
    await mail.run();
    for (let second = 0; second < 25 && !done; second++) {
      await advance(1_000);
      await mail.counts();
    }
    await completed;
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: "done", attempts: 1 });
    expect(runs).toBe(1);
    expect(faults).toHaveLength(3);
  });

  it("R30: a retry whose end is refused as it was, and once more without its cause, fails for good and is not sent again", async ({
    driver,
    expect,
    queue,
  }) => {
    const sent: string[] = [];
    const mail = queue({
      driver: wrap(driver, {
        exchange: async (request) => {
          if (request.settle.some((one) => one.outcome === "failed" && one.retryMs !== undefined)) {
            sent.push(JSON.stringify([request.settle, request.claim.limit]));
            throw refusal("bad_request");
          }
          return driver.exchange(request);
        },
      }),
    });
    mail.on("error", () => {});
    let runs = 0;
    mail.on("job:odd", () => {
      runs++;
      throw new Error("no");
    });
    const id = await mail.addJob("odd", null, { maxAttempts: 5 });
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "failed", attempts: 1 });
    expect(runs).toBe(1);
    expect(new Set(sent).size).toBe(sent.length);
  });
});
