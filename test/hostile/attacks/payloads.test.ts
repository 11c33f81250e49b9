import { attacks, odd, outcome } from "./kit.ts";

const deep = (levels: number): unknown => {
  let value: unknown = 0;
  for (let level = 0; level < levels; level++) value = { a: value };
  return value;
};

attacks("K: payloads and options", (row) => {
  const payloads: readonly (readonly [input: string, came: string, make: () => unknown])[] = [
    ["payload: -0", "0, 1 stored", () => -0],
    ["payload: -0 within", '{"a":[0]}, 1 stored', () => ({ a: [-0] })],
    ["payload: the largest number", "1.7976931348623157e+308, 1 stored", () => Number.MAX_VALUE],
    ["payload: the smallest number", "5e-324, 1 stored", () => Number.MIN_VALUE],
    ["payload: 1e400", "refused invalid_payload, names payload, 0 stored", () => Number("1e400")],
    ["payload: an integer past 2 to the 53rd", "9007199254740992, 1 stored", () => 2 ** 53 + 1],
    ["payload: a lone surrogate", '"\\ud800", 1 stored', () => "\ud800"],
    ["payload: a key that is a lone surrogate", '{"\\ud800":1}, 1 stored', () => ({ "\ud800": 1 })],
    ["payload: NUL", '"\\u0000", 1 stored', () => "\u0000"],
    ["payload: line separators", '"\u2028\u2029", 1 stored', () => "\u2028\u2029"],
    ["payload: an empty key", '{"":1}, 1 stored', () => ({ "": 1 })],
    ["payload: __proto__ as an own key", '{"__proto__":{"a":1}}, 1 stored', () => JSON.parse('{"__proto__":{"a":1}}')],
    [
      "payload: __proto__ as an own key, 10 levels deep",
      '{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"__proto__":{"b":1}}}}}}}}}}}}, 1 stored',
      () => JSON.parse(`${'{"a":'.repeat(10)}{"__proto__":{"b":1}}${"}".repeat(10)}`),
    ],
    [
      "payload: constructor and prototype as keys",
      '{"constructor":{"prototype":{"a":1}}}, 1 stored',
      () => ({ constructor: { prototype: { a: 1 } } }),
    ],
    ["payload: a key named toJSON that is no function", '{"toJSON":"x"}, 1 stored', () => ({ toJSON: "x" })],
    ["payload: a key named then", '{"then":"x"}, 1 stored', () => JSON.parse('{"then":"x"}')],
    [
      "payload: a getter that throws",
      "refused invalid_payload, names payload, 0 stored",
      () => ({
        get a() {
          throw new Error("no");
        },
      }),
    ],
    [
      "payload: a getter that counts",
      '{"a":true}, 1 stored',
      () => {
        let n = 0;
        return {
          get a() {
            return ++n > 0;
          },
        };
      },
    ],
    [
      "payload: a getter that turns into NaN",
      "refused invalid_payload, names payload.a, 0 stored",
      () => {
        let n = 0;
        return {
          get a() {
            return n++ === 0 ? 1 : Number.NaN;
          },
        };
      },
    ],
    [
      "payload: a sparse list of ten million",
      "refused invalid_payload, names payload[0], 0 stored",
      () => new Array(10_000_000),
    ],
    [
      "payload: a list with a hole at the end",
      "refused invalid_payload, names payload[1], 0 stored",
      () => {
        const list = [1];
        list.length = 2;
        return list;
      },
    ],
    ["payload: undefined in a list", "refused invalid_payload, names payload[0], 0 stored", () => [undefined]],
    [
      "payload: a hidden member",
      '{"a":1}, 1 stored',
      () => Object.defineProperty({ a: 1 }, "b", { value: 2, enumerable: false }),
    ],
    ["payload: an inherited member", "refused invalid_payload, names payload, 0 stored", () => Object.create({ a: 1 })],
    ["payload: an object without a prototype", '{"a":1}, 1 stored', () => Object.assign(Object.create(null), { a: 1 })],
    [
      "payload: an instance of a class",
      "refused invalid_payload, names payload, 0 stored",
      () =>
        new (class Odd {
          a = 1;
        })(),
    ],
    [
      "payload: an instance of a class without a name",
      "refused invalid_payload, names payload, 0 stored",
      () =>
        new (class {
          a = 1;
        })(),
    ],
    ["payload: a proxy of an object", '{"a":1}, 1 stored', () => new Proxy({ a: 1 }, {})],
    [
      "payload: a proxy with endless keys",
      '{"k0":1,"k1":1,"k2":1}, 1 stored',
      () =>
        new Proxy(
          {},
          {
            ownKeys: () => Array.from({ length: 3 }, (_, n) => `k${n}`),
            getOwnPropertyDescriptor: () => ({ value: 1, enumerable: true, configurable: true }),
            get: () => 1,
          },
        ),
    ],
    [
      "payload: 100 levels",
      '{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":[601 in all], 1 stored',
      () => deep(100),
    ],
    [
      "payload: 101 levels",
      "refused invalid_payload: payload.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.[238 in all], 0 stored",
      () => deep(101),
    ],
    ["payload: toJSON within toJSON", "1, 1 stored", () => ({ toJSON: () => ({ toJSON: () => 1 }) })],
    [
      "payload: toJSON of NaN",
      "refused invalid_payload, names payload.a, 0 stored",
      () => ({ a: { toJSON: () => Number.NaN } }),
    ],
    ["payload: a date within", '{"at":"1970-01-01T00:00:00.000Z"}, 1 stored', () => ({ at: new Date(0) })],
    [
      "payload: a date before the year 0",
      '"-000002-12-17T14:13:20.000Z", 1 stored',
      () => new Date(-62_200_000_000_000),
    ],
    ["payload: RegExp", "refused invalid_payload, names payload, 0 stored", () => /x/],
    ["payload: a WeakMap within", "refused invalid_payload, names payload.a, 0 stored", () => ({ a: new WeakMap() })],
    ["payload: an ArrayBuffer", "refused invalid_payload, names payload, 0 stored", () => new ArrayBuffer(8)],
    ["payload: a DataView", "refused invalid_payload, names payload, 0 stored", () => new DataView(new ArrayBuffer(8))],
    ["payload: bytes", "refused invalid_payload, names payload, 0 stored", () => new Uint8Array([1, 2])],
    ["payload: an empty text", '"", 1 stored', () => ""],
    [
      "payload: 128 KiB with its quotation marks",
      '"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx[131072 in all], 1 stored',
      () => "x".repeat(128 * 1024 - 2),
    ],
    [
      "payload: one byte more than 128 KiB",
      'refused payload_too_large: The payload of job "job" has 131073 bytes of JSON; at most 131072 are allowed. Store large data elsewhere and pass its key., 0 stored',
      () => "x".repeat(128 * 1024 - 1),
    ],
    [
      "payload: control characters that JSON makes six times as long",
      'refused payload_too_large: The payload of job "job" has 180002 bytes of JSON; at most 131072 are allowed. Store large data elsewhere and pass its key., 0 stored',
      () => "\u0001".repeat(30_000),
    ],
  ];
  for (const [input, came, make] of payloads)
    row(input, came, async ({ queue }) => {
      const got = await outcome(async () => {
        const id = await queue.addJob("job", make());
        return JSON.stringify((await queue.get(id))?.payload);
      });
      return `${got}, ${await queue.size()} stored`;
    });

  const options: readonly (readonly [input: string, came: string, options: unknown])[] = [
    ["options: null", "added, waiting, 1 stored", null],
    ["options: a number", "refused invalid_option, names options, 0 stored", 5],
    ["options: a text", "refused invalid_option, names options, 0 stored", "fast"],
    ["options: a list", "refused invalid_option, names options, 0 stored", [1]],
    ["options: a function", "refused invalid_option, names options, 0 stored", () => {}],
    [
      "options: an inherited option that there is not",
      "refused invalid_option, names speed, 0 stored",
      Object.create({ speed: 1 }),
    ],
    ["options: an inherited priority", "added, waiting, 1 stored", Object.create({ priority: 5 })],
    ["options: priority 0.5", "refused invalid_option, names priority, 0 stored", { priority: 0.5 }],
    ["options: priority -101", "refused invalid_option, names priority, 0 stored", { priority: -101 }],
    ["options: priority -0", "added, waiting, 1 stored", { priority: -0 }],
    ["options: priority as text", "refused invalid_option, names priority, 0 stored", { priority: "5" }],
    ["options: maxAttempts 0", "refused invalid_option, names maxAttempts, 0 stored", { maxAttempts: 0 }],
    [
      "options: maxAttempts Infinity",
      "refused invalid_option, names maxAttempts, 0 stored",
      { maxAttempts: Number.POSITIVE_INFINITY },
    ],
    ["options: delay -1", "refused invalid_option, names delay, 0 stored", { delay: -1 }],
    ["options: delay 0.4", "added, waiting, 1 stored", { delay: 0.4 }],
    ["options: delay of no unit", "refused invalid_option, names delay, 0 stored", { delay: "5" }],
    ["options: delay in months", "refused invalid_option, names delay, 0 stored", { delay: "1mo" }],
    ["options: delay with white space", "refused invalid_option, names delay, 0 stored", { delay: " 5s" }],
    ["options: delay of 1e3s", "refused invalid_option, names delay, 0 stored", { delay: "1e3s" }],
    [
      "options: delay of nine thousand digits",
      "refused invalid_option, names delay, 0 stored",
      { delay: `${"9".repeat(9_000)}s` },
    ],
    ["options: delay null", "refused invalid_option, names delay, 0 stored", { delay: null }],
    ["options: a timestamp as delay", "refused invalid_option, names delay, 0 stored", { delay: Date.UTC(2100, 0) }],
    ["options: availableAt in the past", "added, waiting, 1 stored", { availableAt: 0 }],
    [
      "options: availableAt as ISO text",
      "refused invalid_option, names availableAt, 0 stored",
      { availableAt: "2030-01-01T00:00:00Z" },
    ],
    [
      "options: availableAt at the last instant",
      "refused invalid_option, names availableAt, 0 stored",
      { availableAt: 8_640_000_000_000_000 },
    ],
    [
      "options: availableAt -Infinity",
      "refused invalid_option, names availableAt, 0 stored",
      { availableAt: Number.NEGATIVE_INFINITY },
    ],
    ["options: availableAt true", "refused invalid_option, names availableAt, 0 stored", { availableAt: true }],
    ["options: availableAt and delay", "added, delayed, 1 stored", { availableAt: Date.UTC(2026, 0, 2), delay: "1h" }],
    ["options: backoff of an empty list", "refused invalid_option, names backoff, 0 stored", { backoff: [] }],
    [
      "options: backoff of a list with a hole",
      "refused invalid_option, names backoff[1], 0 stored",
      { backoff: Object.assign(new Array(3), { 0: 1, 2: 3 }) },
    ],
    ["options: backoff null", "refused invalid_option, names backoff, 0 stored", { backoff: null }],
    ["options: backoff of a function", "refused invalid_option, names backoff, 0 stored", { backoff: () => 1 }],
    [
      "options: backoff factor 0",
      "refused invalid_option, names backoff.factor, 0 stored",
      { backoff: { kind: "exponential", delay: 1, factor: 0 } },
    ],
    [
      "options: backoff jitter 2",
      "refused invalid_option, names backoff.jitter, 0 stored",
      { backoff: { kind: "fixed", delay: 1, jitter: 2 } },
    ],
    [
      "options: backoff of a kind that there is not",
      "refused invalid_option, names backoff, 0 stored",
      { backoff: { kind: "fibonacci", delay: 1 } },
    ],
    ["options: backoff of ten thousand delays", "added, waiting, 1 stored", { backoff: Array(10_000).fill(1) }],
    ["options: timeout 0", "refused invalid_option, names timeout, 0 stored", { timeout: 0 }],
    ["options: dedupe as text", "refused invalid_option, names dedupe, 0 stored", { dedupe: "key" }],
    ["options: dedupe without a key", "refused invalid_option, names dedupe.key, 0 stored", { dedupe: {} }],
    [
      "options: dedupe throttle without ttl",
      "refused invalid_option, names dedupe.ttl, 0 stored",
      { dedupe: { key: "a", mode: "throttle" } },
    ],
    ["options: dedupe ttl 0", "refused invalid_option, names dedupe.ttl, 0 stored", { dedupe: { key: "a", ttl: 0 } }],
    ["options: group as text", "refused invalid_option, names group, 0 stored", { group: "user-1" }],
    [
      "options: group limit 0",
      "refused invalid_option, names group.limit, 0 stored",
      { group: { key: "a", limit: 0 } },
    ],
    ["options: keep as number", "refused invalid_option, names keep, 0 stored", { keep: 5 }],
    ["options: keep of waiting", "refused invalid_option, names keep.waiting, 0 stored", { keep: { waiting: 5 } }],
    [
      "options: keep undefined of a state",
      "refused invalid_option, names keep.failed, 0 stored",
      { keep: { failed: undefined } },
    ],
    ["options: requires gpu", "refused invalid_option, names requires, 0 stored", { requires: "gpu" }],
    ["options: encrypted as text", "refused invalid_option, names encrypted, 0 stored", { encrypted: "yes" }],
    [
      "options: encrypted without keys",
      'refused missing_key: Job "odd" is to be encrypted, but there are no keys: give the queue or manager an encryption, as aesGcm({ keys, current })., 0 stored',
      { encrypted: true },
    ],
    ["options: id empty", "refused invalid_option, names id, 0 stored", { id: "" }],
    ["options: id null", "refused invalid_option, names id, 0 stored", { id: null }],
    ["options: id that looks generated", "added, waiting, 1 stored", { id: "2s-0-0-abcdefgh" }],
    ["options: id of 257 characters", "refused invalid_option, names id, 0 stored", { id: "i".repeat(257) }],
    ["options: expiresIn as a date", "refused invalid_option, names expiresIn, 0 stored", { expiresIn: new Date(0) }],
    [
      "options: __proto__ as an own key",
      "refused invalid_option, names __proto__, 0 stored",
      JSON.parse('{"__proto__":{"priority":5}}'),
    ],
  ];
  for (const [input, came, value] of options)
    row(input, came, async (room) => {
      const added = await outcome(async () => {
        const id = await room.queue.addJob("odd", 0, odd(value));
        const job = await room.queue.get(id);
        return `added, ${job?.state}`;
      });
      const stored = await room.queue.size();
      const other = await room.queue.addJob("odd", 1);
      const ran: unknown[] = [];
      room.queue.on("job:odd", (payload) => void ran.push(payload));
      await room.queue.drain();
      if (!(await room.queue.get(other)) || !ran.includes(1)) return `${added}; its neighbour did not run`;
      return `${added}, ${stored} stored`;
    });

  const slips: readonly (readonly [input: string, came: string, options: unknown])[] = [
    [
      "backoff with a word that is not known",
      "refused invalid_option, names backoff.maximum",
      { backoff: { kind: "fixed", delay: 1, maximum: 5 } },
    ],
    [
      "dedupe with a word that is not known",
      "refused invalid_option, names dedupe.wait",
      { dedupe: { key: "a", wait: "1s" } },
    ],
    ["group with a word that is not known", "refused invalid_option, names group.max", { group: { key: "a", max: 1 } }],
  ];
  for (const [input, came, value] of slips)
    row(input, came, ({ queue }) => outcome(() => queue.addJob("odd", 0, odd(value))));
});
