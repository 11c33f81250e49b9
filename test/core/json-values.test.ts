import { defineJob, defineJobs, memoryDriver, Queue } from "@quayside/core";
import { createManualClock, drain } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { mailQueue, rejection } from "./support.ts";

class Point {
  x = 1;
}

const hole = [1, 2, 3];
delete hole[1];
const nested = (levels: number): unknown => (levels === 0 ? 1 : { a: nested(levels - 1) });

/** Values that JSON would drop or change without a word, and where in the payload they are. */
const REFUSED: Readonly<Record<string, readonly [value: unknown, path: string]>> = {
  "a Promise": [{ a: Promise.resolve(1) }, "payload.a"],
  "an Error": [[new Error("lost")], "payload[0]"],
  "a RegExp": [{ a: { b: /a/ } }, "payload.a.b"],
  "an invalid Date": [{ at: new Date(Number.NaN) }, "payload.at"],
  "a Headers": [{ h: new Headers() }, "payload.h"],
  "a FormData": [new FormData(), "payload"],
  "a Request": [{ r: new Request("http://a.test/") }, "payload.r"],
  "a Map": [{ m: new Map([[1, 2]]) }, "payload.m"],
  "a Set": [{ s: new Set([1]) }, "payload.s"],
  "a WeakRef": [{ w: new WeakRef({}) }, "payload.w"],
  "a generator": [{ g: (function* () {})() }, "payload.g"],
  "an AbortSignal": [{ s: AbortSignal.abort() }, "payload.s"],
  "a URLSearchParams": [{ q: new URLSearchParams("a=1") }, "payload.q"],
  "a DOMException": [{ e: new DOMException("gone") }, "payload.e"],
  "an Intl.DateTimeFormat": [{ f: new Intl.DateTimeFormat() }, "payload.f"],
  "a boxed bigint": [{ n: Object(1n) }, "payload.n"],
  "a typed array": [{ t: new Uint8Array(2) }, "payload.t"],
  "an ArrayBuffer": [{ b: new ArrayBuffer(2) }, "payload.b"],
  "a class instance": [{ p: new Point() }, "payload.p"],
  "a boxed number": [{ n: Object(1) }, "payload.n"],
  "a boxed text": [{ n: Object("a") }, "payload.n"],
  "a hole in an array": [{ list: hole }, "payload.list[1]"],
  "undefined in an array": [{ list: [undefined] }, "payload.list[0]"],
  "a function": [{ f: () => {} }, "payload.f"],
  "a symbol": [{ s: Symbol("s") }, "payload.s"],
  "a bigint": [{ n: 1n }, "payload.n"],
  NaN: [{ n: Number.NaN }, "payload.n"],
  Infinity: [[Number.POSITIVE_INFINITY], "payload[0]"],
  "a toJSON that answers a Promise": [{ a: { toJSON: async () => 1 } }, "payload.a"],
  "a toJSON that answers undefined": [{ a: [{ toJSON: () => undefined }] }, "payload.a[0]"],
  "a getter that throws": [
    {
      get a() {
        throw new Error("no");
      },
    },
    "payload",
  ],
  "101 levels": [nested(101), `payload${".a".repeat(100)}`],
};

describe("R35: what JSON would change is refused when adding, with its path", () => {
  for (const [name, [value, path]] of Object.entries(REFUSED)) {
    it(`refuses ${name}`, async () => {
      const { queue } = mailQueue();
      const error = await rejection(queue.addJob("a", value));
      expect(error).toMatchObject({
        code: "invalid_payload",
        details: { issues: [{ path: path.replace(/^payload\.?/, "") }] },
      });
      expect(error.message.length).toBeLessThan(500);
      expect(await queue.counts()).toMatchObject({ waiting: 0 });
    });
  }

  it("refuses a cycle, and nesting deep enough to overflow the stack", async () => {
    const { queue } = mailQueue();
    const loop: { self?: unknown } = {};
    loop.self = [loop];
    expect(await rejection(queue.addJob("a", loop))).toMatchObject({ code: "invalid_payload" });
    let deep: unknown = 1;
    for (let level = 0; level < 100_000; level++) deep = [deep];
    expect(await rejection(queue.addJob("a", deep))).toMatchObject({ code: "invalid_payload" });
  });

  it("takes what JSON keeps: plain objects of any realm, dates, toJSON, __proto__ as a key, the same object twice", async () => {
    const { queue } = mailQueue();
    const same = { a: 1 };
    const proto = JSON.parse('{"__proto__":{"polluted":true},"b":[{"__proto__":1}]}');
    const values: readonly (readonly [value: unknown, stored: unknown])[] = [
      [{ at: new Date(0) }, { at: "1970-01-01T00:00:00.000Z" }],
      [{ a: { toJSON: () => ({ b: 1 }) } }, { a: { b: 1 } }],
      [Object.create(null, { a: { value: 1, enumerable: true } }), { a: 1 }],
      [
        [same, same],
        [same, same],
      ],
      [{ a: undefined, b: -0 }, { b: 0 }],
      [new URL("http://a.test/"), "http://a.test/"],
      [proto, proto],
      [nested(99), nested(99)],
    ];
    for (const [value, stored] of values) {
      const id = await queue.addJob("a", value);
      expect(JSON.stringify((await queue.get(id))?.payload)).toBe(JSON.stringify(stored));
    }
  });

  it("stores what was checked, even where a getter answers something else each time", async () => {
    const { queue } = mailQueue();
    let reads = 0;
    const id = await queue.addJob("a", {
      date: new Date(0),
      get n() {
        return ++reads > 2 ? new Map() : reads;
      },
    });
    expect(await queue.get(id)).toMatchObject({ payload: { n: expect.any(Number) } });
  });
});

/** Every job option with a value of a wrong kind. */
const WRONG: readonly (readonly [option: string, value: unknown])[] = [
  ["priority", Number.NaN],
  ["priority", "1"],
  ["priority", null],
  ["priority", 1.5],
  ["priority", 5n],
  ["delay", 5n],
  ["delay", null],
  ["delay", Number.NaN],
  ["delay", -1],
  ["delay", "soon"],
  ["delay", Symbol("d")],
  ["delay", { valueOf: () => 1 }],
  ["availableAt", null],
  ["availableAt", "2026-01-01"],
  ["availableAt", Number.NaN],
  ["availableAt", new Date(Number.NaN)],
  ["availableAt", {}],
  ["tags", null],
  ["tags", "abc"],
  ["tags", [null]],
  ["tags", [""]],
  ["tags", ["x".repeat(129)]],
  ["tags", Array.from({ length: 33 }, (_, n) => `t${n}`)],
  ["tags", { length: 1 }],
  ["maxAttempts", 0],
  ["maxAttempts", "3"],
  ["maxAttempts", Symbol("m")],
  ["maxAttempts", Number.POSITIVE_INFINITY],
  ["maxExceptions", null],
  ["maxInterruptions", 1.5],
  ["backoff", null],
  ["backoff", []],
  ["backoff", [null]],
  ["backoff", { kind: "odd", delay: 1 }],
  ["backoff", { kind: "fixed" }],
  ["backoff", { kind: "fixed", delay: 1, jitter: Symbol("j") }],
  ["backoff", () => 1],
  ["timeout", 0],
  ["timeout", null],
  ["dedupe", null],
  ["dedupe", "key"],
  ["dedupe", { key: 5 }],
  ["dedupe", { key: "a", mode: "odd" }],
  ["dedupe", { key: "a", mode: Symbol("m") }],
  ["group", null],
  ["group", "key"],
  ["group", { key: "" }],
  ["group", { key: "a", limit: 0 }],
  ["keep", null],
  ["keep", "all"],
  ["keep", { completed: "1" }],
  ["keep", { odd: 1 }],
  ["requires", null],
  ["requires", "moon"],
  ["expiresIn", 0],
  ["expiresIn", null],
  ["encrypted", "yes"],
  ["encrypted", null],
  ["id", ""],
  ["id", 5n],
  ["id", null],
  ["id", "\ud800"],
  ["odd", 1],
];

describe("an option of a wrong kind is refused by name", () => {
  for (const [option, value] of WRONG) {
    const shown = typeof value === "object" && value !== null ? JSON.stringify(value)?.slice(0, 60) : String(value);
    it(`refuses ${option}: ${typeof value} ${shown}`, async () => {
      const { queue } = mailQueue();
      const error = await rejection(queue.addJob("a", null, { [option]: value }));
      expect(error).toMatchObject({ code: "invalid_option" });
      expect(error.message).toContain(option);
      expect(error.message.length).toBeLessThan(600);
      expect(await queue.counts()).toMatchObject({ waiting: 0, delayed: 0 });
    });
  }
});

describe("R35: a schema is checked on what JSON gives back", () => {
  const queueOf = (jobs: ReturnType<typeof defineJobs>) => {
    const clock = createManualClock();
    return { clock, queue: new Queue<Record<string, unknown>>("q", memoryDriver({ clock }), { clock, jobs }) };
  };

  it("takes a schema that reads the text of a date, and gives its handler the date", async () => {
    let got: unknown;
    const { clock, queue } = queueOf(
      defineJobs({
        a: defineJob({
          input: z.object({ at: z.coerce.date() }),
          handler: ({ at }) => {
            got = at;
          },
        }),
      }),
    );
    await queue.addJob("a", { at: new Date(5) });
    await drain(queue, { clock });
    expect(got).toEqual(new Date(5));
  });

  it("refuses z.date(), z.map(), z.bigint() and z.instanceof() when adding, and says why", async () => {
    const schemas = {
      date: [z.object({ v: z.date() }), { v: new Date(0) }],
      map: [z.object({ v: z.map(z.string(), z.number()) }), { v: new Map() }],
      bigint: [z.object({ v: z.bigint() }), { v: 1n }],
      instance: [z.object({ v: z.instanceof(URL) }), { v: new URL("http://a.test/") }],
    } as const;
    for (const [name, [input, payload]] of Object.entries(schemas)) {
      const { queue } = queueOf(defineJobs({ [name]: { input } } as never));
      expect(await rejection(queue.addJob(name, payload))).toMatchObject({ code: "invalid_payload" });
    }
    const { queue } = queueOf(defineJobs({ date: defineJob({ input: schemas.date[0] }) }));
    expect((await rejection(queue.addJob("date", schemas.date[1]))).message).toContain("z.coerce.date()");
  });

  it("runs a job without a payload whose schema takes undefined", async () => {
    const ran: string[] = [];
    const none = <T>(name: string, input: T) => ({ input, handler: () => void ran.push(name) });
    const { clock, queue } = queueOf(
      defineJobs({
        void: none("void", z.void()),
        undefined: none("undefined", z.undefined()),
        optional: none("optional", z.object({ a: z.number() }).optional()),
        late: none(
          "late",
          z.undefined().refine(async () => true),
        ),
      }),
    );
    for (const name of ["void", "undefined", "optional", "late"]) await queue.addJob(name, undefined);
    await drain(queue, { clock });
    expect(ran.sort()).toEqual(["late", "optional", "undefined", "void"]);
    expect(await queue.counts()).toMatchObject({ completed: 4, failed: 0 });
  });

  it("waits for a schema whose answer is a promise of another kind", async () => {
    const thenable = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => ({
          // biome-ignore lint/suspicious/noThenProperty: a promise of another kind is what is tested
          then: (resolve: (result: unknown) => void) => resolve({ issues: [{ message: "never" }] }),
        }),
      },
    };
    const { queue } = queueOf(defineJobs({ a: defineJob({ input: thenable as never }) }));
    expect(await rejection(queue.addJob("a", 1))).toMatchObject({ code: "invalid_payload" });
  });

  it("leaves no rejection behind when one job of a batch is refused late and the next at once", async () => {
    const late = z.string().refine(async () => false);
    const { queue } = queueOf(defineJobs({ late: defineJob({ input: late }), now: defineJob({ input: z.number() }) }));
    const error = await rejection(
      queue.addJobs([
        { name: "late", payload: "a" },
        { name: "now", payload: "b" },
      ]),
    );
    expect(error).toMatchObject({ code: "invalid_payload" });
    expect(await queue.counts()).toMatchObject({ waiting: 0 });
  });
});

describe("a filter that means nothing is refused, and nothing is deleted", () => {
  for (const filter of [
    { tags: [] },
    { tags: null },
    { tags: "a" },
    { tag: ["a"] },
    { olderthan: "1d" },
    { olderThan: null },
    { name: "" },
    { state: "done" },
    { state: null },
  ]) {
    it(`refuses clear(${JSON.stringify(filter)})`, async () => {
      const { queue } = mailQueue();
      await queue.addJob("a", null);
      expect(await rejection(queue.clear(filter as object))).toMatchObject({ code: "invalid_option" });
      expect(await rejection(queue.retryAll(filter as object))).toMatchObject({ code: "invalid_option" });
      expect(await queue.counts()).toMatchObject({ waiting: 1 });
    });
  }
});
