import { defineJob, defineJobs, QuaysideError, RetryAfterError } from "@quayside/core";
import { revoked } from "./revoked-proxy.ts";
import { gather, topic } from "./support.ts";

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

/** Test cases about handlers that throw or return values of any kind. */
export const hostileHandlerCases = topic("bounds", (it) => {
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
});
