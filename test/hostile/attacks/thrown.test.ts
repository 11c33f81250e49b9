import { QuaysideError, RetryAfterError, StorageFullError, UnrecoverableError } from "@quayside/core";
import { attacks, odd } from "./kit.ts";

attacks("A: what handlers throw", (row) => {
  const thrown: readonly (readonly [input: string, came: string, make: () => unknown])[] = [
    ["throws 0", "failed handler_failed: 0 (2 runs, 2 of 2)", () => 0],
    ["throws -0", "failed handler_failed: 0 (2 runs, 2 of 2)", () => -0],
    ["throws NaN", "failed handler_failed: NaN (2 runs, 2 of 2)", () => Number.NaN],
    ["throws false", "failed handler_failed: false (2 runs, 2 of 2)", () => false],
    ["throws an empty text", "failed handler_failed:  (2 runs, 2 of 2)", () => ""],
    [
      "throws a text of a megabyte",
      "failed handler_failed: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx[8190 in all] (2 runs, 2 of 2)",
      () => "x".repeat(1_000_000),
    ],
    ["throws an empty list", "failed handler_failed: [] (2 runs, 2 of 2)", () => []],
    ["throws a list with holes", "failed handler_failed: [null,null,null] (2 runs, 2 of 2)", () => new Array(3)],
    ["throws a date that is none", "failed handler_failed: null (2 runs, 2 of 2)", () => new Date(Number.NaN)],
    ["throws a Map", "failed handler_failed: {} (2 runs, 2 of 2)", () => new Map([[1, 2]])],
    ["throws a class", "failed handler_failed: class Odd {} (2 runs, 2 of 2)", () => class Odd {}],
    ["throws a promise that never ends", "failed handler_failed: {} (2 runs, 2 of 2)", () => new Promise(() => {})],
    ["throws a promise that resolves", "failed handler_failed: {} (2 runs, 2 of 2)", () => Promise.resolve(1)],
    ["throws a generator", "failed handler_failed: {} (2 runs, 2 of 2)", () => (function* () {})()],
    [
      "throws an AbortSignal that is aborted",
      "failed handler_failed: {} (2 runs, 2 of 2)",
      () => AbortSignal.abort("why"),
    ],
    [
      "throws a DOMException",
      "failed handler_failed: gone (2 runs, 2 of 2)",
      () => new DOMException("gone", "AbortError"),
    ],
    ["throws an AggregateError of nothing", "failed handler_failed:  (2 runs, 2 of 2)", () => new AggregateError([])],
    [
      "throws an error that is its own cause",
      "failed handler_failed: loop (2 runs, 2 of 2)",
      () => {
        const error = new Error("loop");
        error.cause = error;
        return error;
      },
    ],
    [
      "throws an error with ten thousand causes",
      "failed handler_failed: 9999 (2 runs, 2 of 2)",
      () => {
        let error = new Error("0");
        for (let n = 0; n < 10_000; n++) error = new Error(String(n), { cause: error });
        return error;
      },
    ],
    [
      "throws a frozen error",
      "failed handler_failed: frozen (2 runs, 2 of 2)",
      () => Object.freeze(new Error("frozen")),
    ],
    ["throws an error without a message", "failed handler_failed:  (2 runs, 2 of 2)", () => new Error()],
    [
      "throws an error with an empty name",
      "failed handler_failed: x (2 runs, 2 of 2)",
      () => Object.assign(new Error("x"), { name: "" }),
    ],
    [
      "throws an error of a class without a prototype",
      "failed handler_failed: {} (2 runs, 2 of 2)",
      () => Object.setPrototypeOf(new Error("bare"), null),
    ],
    [
      "throws an object that inherits from Error",
      "failed handler_failed:  (2 runs, 2 of 2)",
      () => Object.create(Error.prototype),
    ],
    [
      "throws an error whose toString throws",
      "failed handler_failed: x (2 runs, 2 of 2)",
      () =>
        Object.assign(new Error("x"), {
          toString: () => {
            throw new Error("toString");
          },
        }),
    ],
    [
      "throws an error whose name is a proxy of a function",
      "failed handler_failed: x (2 runs, 2 of 2)",
      () => Object.assign(new Error("x"), { name: new Proxy(() => {}, {}) }),
    ],
    ["throws a text of one lone surrogate", "failed handler_failed: \ufffd (2 runs, 2 of 2)", () => "\udfff"],
    ["throws a text of NUL", "failed handler_failed: \u0000 (2 runs, 2 of 2)", () => "\u0000"],
    [
      "throws an error of status 429 without headers",
      "failed handler_failed: slow (2 runs, 2 of 2)",
      () => Object.assign(new Error("slow"), { status: 429 }),
    ],
    [
      "throws headers of Retry-After: 0",
      "failed handler_failed: x (2 runs, 2 of 2)",
      () => Object.assign(new Error("x"), { headers: new Headers({ "retry-after": "0" }) }),
    ],
    [
      "throws headers of Retry-After in the past",
      "failed handler_failed: x (2 runs, 2 of 2)",
      () => Object.assign(new Error("x"), { headers: new Headers({ "retry-after": "Thu, 01 Jan 1970 00:00:00 GMT" }) }),
    ],
    [
      "throws headers of Retry-After: 1e9",
      "failed handler_failed: x (2 runs, 2 of 2)",
      () => Object.assign(new Error("x"), { headers: new Headers({ "retry-after": "1e9" }) }),
    ],
    [
      "throws a Response of 503",
      "failed handler_failed: {} (2 runs, 2 of 2)",
      () => new Response("busy", { status: 503, headers: { "retry-after": "2" } }),
    ],
    [
      "throws rate_limited with retryAfterMs: text",
      "failed rate_limited: x (2 runs, 2 of 2)",
      () => new QuaysideError("rate_limited", "x", { retryAfterMs: "soon" }),
    ],
    [
      "throws rate_limited with retryAfterMs: -1",
      "failed rate_limited: x (2 runs, 2 of 2)",
      () => new QuaysideError("rate_limited", "x", { retryAfterMs: -1 }),
    ],
    [
      "throws rate_limited with retryAfterMs: Infinity",
      "failed rate_limited: x (2 runs, 2 of 2)",
      () => new QuaysideError("rate_limited", "x", { retryAfterMs: Number.POSITIVE_INFINITY }),
    ],
    [
      "throws RetryAfterError(0)",
      "failed retry_after: To be tried again later. (2 runs, 2 of 2)",
      () => new RetryAfterError(0),
    ],
    [
      "throws RetryAfterError(100 years)",
      "delayed retry_after: To be tried again later. (1 runs, 1 of 2)",
      () => new RetryAfterError(100 * 365 * 86_400_000),
    ],
    [
      "throws RetryAfterError(101 years)",
      'failed invalid_option: RetryAfterError.delay must be a duration from 0 to 100 years (milliseconds, or a string such as "250ms", "10s", "5m", "2h", "7d"), got 3185136000000. (2 runs, 2 of 2)',
      () => new RetryAfterError(101 * 365 * 86_400_000),
    ],
    [
      "throws RetryAfterError(0.4)",
      "failed retry_after: To be tried again later. (2 runs, 2 of 2)",
      () => new RetryAfterError(0.4),
    ],
    [
      "throws a RetryAfterError with a message of another kind",
      "failed retry_after: 7 (2 runs, 2 of 2)",
      () => new RetryAfterError(1, odd(7)),
    ],
    ["throws an UnrecoverableError", "failed unrecoverable: no (1 runs, 1 of 2)", () => new UnrecoverableError("no")],
    [
      "throws an UnrecoverableError with undefined",
      "failed unrecoverable:  (1 runs, 1 of 2)",
      () => new UnrecoverableError(odd(undefined)),
    ],
    [
      "throws a StorageFullError of its own",
      "failed storage_full: full (2 runs, 2 of 2)",
      () => new StorageFullError("full"),
    ],
    ["throws QuaysideError closed", "failed closed: x (2 runs, 2 of 2)", () => new QuaysideError("closed", "x")],
    [
      "throws QuaysideError lease_lost",
      "failed lease_lost: x (2 runs, 2 of 2)",
      () => new QuaysideError("lease_lost", "x"),
    ],
    [
      "throws QuaysideError stale_exchange",
      "failed stale_exchange: x (2 runs, 2 of 2)",
      () => new QuaysideError("stale_exchange", "x"),
    ],
    [
      "throws QuaysideError interrupted",
      "failed interrupted: x (2 runs, 2 of 2)",
      () => new QuaysideError("interrupted", "x"),
    ],
    ["throws QuaysideError expired", "failed expired: x (2 runs, 2 of 2)", () => new QuaysideError("expired", "x")],
    [
      "throws QuaysideError cancelled",
      "failed cancelled: x (2 runs, 2 of 2)",
      () => new QuaysideError("cancelled", "x"),
    ],
    [
      "throws a QuaysideError of a code that there is not",
      "failed made_up: x (2 runs, 2 of 2)",
      () => new QuaysideError(odd("made_up"), "x"),
    ],
    ["throws a QuaysideError of an empty code", "failed : x (2 runs, 2 of 2)", () => new QuaysideError(odd(""), "x")],
    [
      "throws a QuaysideError whose details are a cycle",
      "failed internal: x (2 runs, 2 of 2)",
      () => {
        const details: Record<string, unknown> = {};
        details["self"] = details;
        return new QuaysideError("internal", "x", details);
      },
    ],
    [
      "throws a child_failed without a child",
      "failed child_failed: x (2 runs, 2 of 2)",
      () => new QuaysideError("child_failed", "x"),
    ],
    [
      "throws storage_unavailable",
      "failed storage_unavailable: x (2 runs, 2 of 2)",
      () => new QuaysideError("storage_unavailable", "x"),
    ],
  ];
  for (const [input, came, make] of thrown)
    row(input, came, (room) =>
      room.ends(() => {
        throw make();
      }),
    );
  row("rejects with null", "failed handler_failed: null (2 runs, 2 of 2)", (room) =>
    room.ends(() => Promise.reject(null)),
  );
  row("rejects twice, the second time later", "failed handler_failed: first (2 runs, 2 of 2)", (room) =>
    room.ends(() => {
      Promise.reject(new Error("later")).catch(() => {});
      return Promise.reject(new Error("first"));
    }),
  );
  row("throws in a thenable's then", "failed handler_failed: no (2 runs, 2 of 2)", (room) =>
    room.ends(() => ({
      // biome-ignore lint/suspicious/noThenProperty: a result that only looks like a promise is what is tested
      then: (_: unknown, reject: (error: unknown) => void) => {
        reject(new Error("no"));
        throw new Error("more");
      },
    })),
  );
  row("ctx.fail(0)", "failed unrecoverable: 0 (1 runs, 1 of 2)", (room) => room.ends((_, ctx) => ctx.fail(odd(0))));
  row("ctx.fail of a RetryAfterError", "failed unrecoverable: To be tried again later. (1 runs, 1 of 2)", (room) =>
    room.ends((_, ctx) => ctx.fail(new RetryAfterError(1))),
  );
  row(
    "ctx.fail of a text of a megabyte",
    "failed unrecoverable: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy[8190 in all] (1 runs, 1 of 2)",
    (room) => room.ends((_, ctx) => ctx.fail("y".repeat(1_000_000))),
  );
  row(
    "ctx.release(NaN)",
    'failed invalid_option: release must be a duration from 0 to 100 years (milliseconds, or a string such as "250ms", "10s", "5m", "2h", "7d"), got NaN. (2 runs, 2 of 2)',
    (room) => room.ends((_, ctx) => ctx.release(Number.NaN)),
  );
  row(
    "ctx.release of a text that is no duration",
    'failed invalid_option: release must be a duration from 0 to 100 years (milliseconds, or a string such as "250ms", "10s", "5m", "2h", "7d"), got "soon". (2 runs, 2 of 2)',
    (room) => room.ends((_, ctx) => ctx.release(odd("soon"))),
  );
  row(
    "ctx.release(null)",
    'failed invalid_option: release must be a duration from 0 to 100 years (milliseconds, or a string such as "250ms", "10s", "5m", "2h", "7d"), got null. (2 runs, 2 of 2)',
    (room) => room.ends((_, ctx) => ctx.release(odd(null))),
  );
  row("a handler that swallows its own release", "completed with went on (2 runs, 1 of 2)", (room) => {
    let released = false;
    return room.ends((_, ctx) => {
      try {
        if (!released) {
          released = true;
          ctx.release(0);
        }
      } catch {}
      return "went on";
    });
  });
  row("a handler that swallows its own fail", "failed unrecoverable: no (1 runs, 1 of 2)", (room) =>
    room.ends((_, ctx) => {
      try {
        ctx.fail("no");
      } catch {}
      return "went on";
    }),
  );
});
