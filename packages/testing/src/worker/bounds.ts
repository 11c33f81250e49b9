import { defineJob, defineJobs, LIMITS, QuaysideError, RetryAfterError } from "@quayside/core";
import type { ExchangeRequest } from "@quayside/core/engine";
import { gate, gather, next, spyOnExchanges, topic, wrap } from "./support.ts";

const revoked = (): unknown => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};

const throwing = (field: string): Error =>
  Object.defineProperty(new Error("x"), field, {
    get: () => {
      throw new Error(`reading ${field}`);
    },
  });

/** Values that a handler may throw and that are hard to store or to read. Each is a failure like any other. */
const THROWN: Readonly<Record<string, () => unknown>> = {
  "RetryAfterError(NaN)": () => new RetryAfterError(Number.NaN),
  "RetryAfterError(-5)": () => new RetryAfterError(-5),
  "RetryAfterError(text)": () => new RetryAfterError("soon" as never),
  "a RetryAfterError changed later": () => Object.assign(new RetryAfterError(1), { delay: Symbol("d") }),
  "stack: null": () => Object.assign(new Error("x"), { message: "m", stack: null }),
  "stack: 7, message: list, name: object": () =>
    Object.assign(new Error("x"), { message: ["a"], stack: 7, name: { a: 1 } }),
  "message: function": () => Object.assign(new Error("x"), { message: () => "m" }),
  "message: bigint": () => Object.assign(new Error("x"), { message: 5n }),
  "code: symbol": () => Object.assign(new QuaysideError("network", "x"), { code: Symbol("c") }),
  "details: null": () => Object.assign(new QuaysideError("rate_limited", "x"), { details: null }),
  "headers.get gives a number": () => Object.assign(new Error("x"), { response: { headers: { get: () => 120 } } }),
  "headers.get throws": () =>
    Object.assign(new Error("x"), {
      headers: {
        get: () => {
          throw new Error("get");
        },
      },
    }),
  "a getter of headers throws": () => throwing("headers"),
  "a getter of message throws": () => throwing("message"),
  "a getter of stack throws": () => throwing("stack"),
  "a getter of name throws": () => throwing("name"),
  "a revoked proxy": revoked,
  "a proxy whose traps throw": () =>
    new Proxy(
      {},
      {
        get: () => {
          throw new Error("get");
        },
        getPrototypeOf: () => {
          throw new Error("getPrototypeOf");
        },
      },
    ),
  undefined: () => undefined,
  null: () => null,
  "a symbol": () => Symbol("s"),
  "a bigint": () => 1n,
  "a function": () => () => {},
  "an object without a prototype": () => Object.create(null),
  "a cycle": () => {
    const loop: { self?: unknown } = {};
    loop.self = loop;
    return loop;
  },
  "an object whose toJSON throws": () => ({
    toJSON: () => {
      throw new Error("toJSON");
    },
  }),
  "a lone surrogate": () => new Error("\ud800"),
};

/** Values that a handler may return and that no store can keep. */
const RETURNED: Readonly<Record<string, () => unknown>> = {
  "a function": () => () => {},
  "a bigint": () => 1n,
  "a symbol": () => Symbol("s"),
  "a cycle": THROWN["a cycle"] as () => unknown,
  "an object whose toJSON throws": THROWN["an object whose toJSON throws"] as () => unknown,
  "a revoked proxy": revoked,
  "an object whose then throws": () => ({
    // biome-ignore lint/suspicious/noThenProperty: a result that only looks like a promise is what is tested
    get then() {
      throw new Error("then");
    },
  }),
  "a promise whose constructor throws": () =>
    Object.defineProperty(Promise.resolve(1), "constructor", {
      get: () => {
        throw new Error("constructor");
      },
    }),
  "a rejected promise with a revoked proxy": () => Promise.reject(revoked()),
};

const text = (bytes: number): string => "x".repeat(bytes);

/** Every attempt is settled and its end is bounded (R28 to R30); repeats slow down (R40). */
export const boundCases = topic("bounds", (it) => {
  for (const [name, thrown] of Object.entries(THROWN)) {
    it(`R28: an attempt that throws ${name} counts, and its job fails after its last attempt`, async ({
      expect,
      queue,
    }) => {
      const mail = queue();
      let runs = 0;
      mail.on("error", () => {});
      mail.on("job:odd", () => {
        if (++runs > 5) return;
        throw thrown();
      });
      mail.on("job:even", () => "done");
      const [odd, even] = await mail.addJobs([
        { name: "odd", payload: null, maxAttempts: 2, backoff: 0 },
        { name: "even", payload: null },
      ]);
      await mail.drain();
      const { state, attempts, error } = (await mail.get(odd as string)) ?? {};
      expect({ runs, state, attempts }).toEqual({ runs: 2, state: "failed", attempts: 2 });
      expect(typeof error?.message).toBe("string");
      expect(await mail.get(even as string)).toMatchObject({ state: "completed", result: "done", attempts: 1 });
    });
  }

  for (const [name, returned] of Object.entries(RETURNED)) {
    it(`R28: an attempt that returns ${name} fails, and its job ends`, async ({ expect, queue }) => {
      const mail = queue();
      let runs = 0;
      mail.on("error", () => {});
      mail.on("job:odd", () => (++runs > 5 ? undefined : returned()));
      const id = await mail.addJob("odd", null, { maxAttempts: 1 });
      await mail.drain();
      expect(await mail.get(id)).toMatchObject({ state: "failed", attempts: 1 });
      expect(runs).toBe(1);
    });
  }

  it("R28: functions of a definition that throw, or answer what they must not, cost no attempt", async ({
    expect,
    queue,
  }) => {
    const fails = () => {
      throw new Error("no");
    };
    const odd = <T>(answer: () => unknown) => answer as () => T;
    const jobs = defineJobs({
      retryIfThrows: defineJob({ retryIf: fails, backoff: fails, maxAttempts: 2, handler: fails, onFailed: fails }),
      retryIfRejects: defineJob({
        retryIf: odd(async () => fails()),
        maxAttempts: 2,
        handler: fails,
        onFailed: async () => fails(),
      }),
      backoffIsNaN: defineJob({ backoff: odd(() => Number.NaN), maxAttempts: 2, handler: fails }),
      backoffIsNegative: defineJob({ backoff: odd(() => -1), maxAttempts: 2, handler: fails }),
      backoffIsSymbol: defineJob({ backoff: odd(() => Symbol("b")), maxAttempts: 2, handler: fails }),
      backoffRejects: defineJob({ backoff: odd(async () => fails()), maxAttempts: 2, handler: fails }),
    });
    const mail = queue({ jobs });
    mail.on("error", () => {});
    const retrying = gather(mail, "retrying");
    const failed = gather(mail, "failed");
    const names = Object.keys(jobs);
    const ids = await mail.addJobs(names.map((name) => ({ name, payload: null })));
    await mail.drain();
    for (const id of ids) await mail.promote(id);
    await mail.drain();
    for (const id of ids) expect(await mail.get(id)).toMatchObject({ state: "failed", attempts: 2 });
    expect(retrying).toHaveLength(names.length);
    expect(failed).toHaveLength(names.length);
  });

  it("R28: ctx.fail() of anything ends the job, whatever attempts are left", async ({ expect, queue }) => {
    const mail = queue();
    const reasons = [undefined, null, 5n, Symbol("s"), revoked(), {}] as const;
    let at = 0;
    mail.on("job:odd", (_, ctx) => ctx.fail(reasons[at++] as string));
    const ids = await mail.addJobs(reasons.map(() => ({ name: "odd", payload: null, maxAttempts: 5 })));
    await mail.drain();
    for (const id of ids) expect(await mail.get(id)).toMatchObject({ state: "failed", attempts: 1 });
    expect(at).toBe(reasons.length);
  });

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
      // Double quotes are the worst: they are escaped twice on their way.
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
      // Fewer each time: nothing is sent unchanged.
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
