import { attacks, odd, outcome } from "./kit.ts";

const deep = (levels: number): unknown => {
  let value: unknown = 0;
  for (let level = 0; level < levels; level++) value = [value];
  return value;
};

attacks("B: results, progress, logs, tags and names", (row) => {
  const results: readonly (readonly [input: string, came: string, make: () => unknown])[] = [
    ["returns undefined", "completed (1 runs, 1 of 2)", () => undefined],
    ["returns null", "completed with null (1 runs, 1 of 2)", () => null],
    ["returns NaN", "failed invalid_result: result is NaN, which JSON cannot hold. (1 runs, 1 of 2)", () => Number.NaN],
    ["returns -0", "completed with 0 (1 runs, 1 of 2)", () => -0],
    ["returns 2 to the 53rd and one", "completed with 9007199254740992 (1 runs, 1 of 2)", () => 2 ** 53 + 1],
    ["returns a date", "completed with 1970-01-01T00:00:00.000Z (1 runs, 1 of 2)", () => new Date(0)],
    [
      "returns a date that is none",
      "failed invalid_result: result is an invalid date. (1 runs, 1 of 2)",
      () => new Date(Number.NaN),
    ],
    [
      "returns a Map",
      "failed invalid_result: result is an instance of Map, which JSON would not keep. Pass its data. (1 runs, 1 of 2)",
      () => new Map(),
    ],
    [
      "returns an Error",
      "failed invalid_result: result is an instance of Error, which JSON would not keep. Pass its data. (1 runs, 1 of 2)",
      () => new Error("x"),
    ],
    [
      "returns typed bytes",
      "failed invalid_result: result is an instance of Uint8Array, which JSON would not keep. Pass its data. (1 runs, 1 of 2)",
      () => new Uint8Array(3),
    ],
    [
      "returns a list with a hole",
      "failed invalid_result: result[1] is undefined, which JSON cannot hold. (1 runs, 1 of 2)",
      () => Object.assign(new Array(3), { 0: 1, 2: 3 }),
    ],
    [
      "returns an object with an undefined member",
      'completed with {"b":1} (1 runs, 1 of 2)',
      () => ({ a: undefined, b: 1 }),
    ],
    ["returns an object with a symbol key", "completed with {} (1 runs, 1 of 2)", () => ({ [Symbol("s")]: 1 })],
    [
      "returns an object of __proto__ as a key",
      'completed with {"__proto__":{"admin":true}} (1 runs, 1 of 2)',
      () => JSON.parse('{"__proto__":{"admin":true}}'),
    ],
    [
      "returns 100 levels",
      "completed with [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]][201 in all] (1 runs, 1 of 2)",
      () => deep(100),
    ],
    [
      "returns 101 levels",
      "failed invalid_result: result[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][238 in all] (1 runs, 1 of 2)",
      () => deep(101),
    ],
    [
      "returns 100,000 levels",
      "failed invalid_result: result[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][238 in all] (1 runs, 1 of 2)",
      () => deep(100_000),
    ],
    [
      "returns a boxed number",
      "failed invalid_result: result is an instance of Number, which JSON would not keep. Pass its data. (1 runs, 1 of 2)",
      () => Object(7),
    ],
    [
      "returns a boxed text",
      "failed invalid_result: result is an instance of String, which JSON would not keep. Pass its data. (1 runs, 1 of 2)",
      () => Object("x"),
    ],
    [
      "returns a boxed bigint",
      "failed invalid_result: result is an instance of BigInt, which JSON would not keep. Pass its data. (1 runs, 1 of 2)",
      () => Object(7n),
    ],
    [
      "returns toJSON of undefined",
      "failed invalid_result: result is undefined, which JSON cannot hold. (1 runs, 1 of 2)",
      () => ({ toJSON: () => undefined }),
    ],
    [
      "returns toJSON of a function",
      "failed invalid_result: result is a function, which JSON cannot hold. (1 runs, 1 of 2)",
      () => ({ toJSON: () => () => {} }),
    ],
    [
      "returns toJSON of itself",
      "failed invalid_result: result refers back to an object that contains it. (1 runs, 1 of 2)",
      () => {
        const odd = { toJSON: (): unknown => odd };
        return odd;
      },
    ],
    ["returns a lone surrogate", "completed with \ud800 (1 runs, 1 of 2)", () => "\ud800"],
    ["returns a URL", "completed with https://example.com/ (1 runs, 1 of 2)", () => new URL("https://example.com/")],
    [
      "returns a promise of a promise of a function",
      "failed invalid_result: result is a function, which JSON cannot hold. (1 runs, 1 of 2)",
      async () => Promise.resolve(() => {}),
    ],
    [
      "returns a WeakRef",
      "failed invalid_result: result is an instance of WeakRef, which JSON would not keep. Pass its data. (1 runs, 1 of 2)",
      () => new WeakRef({}),
    ],
    [
      "returns an async generator",
      "failed invalid_result: result is an instance of a class without a name, which JSON would not keep. Pass its data. (1 runs, 1 of 2)",
      () => (async function* () {})(),
    ],
    [
      "returns a Response",
      "failed invalid_result: result is an instance of Response, which JSON would not keep. Pass its data. (1 runs, 1 of 2)",
      () => new Response("x"),
    ],
    [
      "returns a subclass of Array",
      "failed invalid_result: result[0] is undefined, which JSON cannot hold. (1 runs, 1 of 2)",
      () => new (class Odd extends Array {})(2),
    ],
    [
      "returns a list with a member of its own",
      "completed with [1] (1 runs, 1 of 2)",
      () => Object.assign([1], { extra: 2 }),
    ],
    [
      "returns three-byte characters past the limit",
      "failed result_too_large: The result is 150002 bytes of JSON; at most 131072 are kept. Store it elsewhere, and return where it is. (1 runs, 1 of 2)",
      () => "€".repeat(50_000),
    ],
  ];
  for (const [input, came, make] of results) row(input, came, (room) => room.ends(make));

  const progress: readonly (readonly [input: string, came: string, make: () => unknown])[] = [
    ["progress(undefined)", "completed (1 runs, 1 of 2) null", () => undefined],
    [
      "progress(NaN)",
      "failed invalid_option: progress is NaN, which JSON cannot hold. (2 runs, 2 of 2) done",
      () => Number.NaN,
    ],
    ["progress(-1)", "completed (1 runs, 1 of 2) -1", () => -1],
    [
      "progress of a function",
      "failed invalid_option: progress is a function, which JSON cannot hold. (2 runs, 2 of 2) done",
      () => () => {},
    ],
    [
      "progress of a bigint",
      "failed invalid_option: progress is a bigint, which JSON cannot hold. (2 runs, 2 of 2) done",
      () => 1n,
    ],
    [
      "progress of 101 levels",
      "failed invalid_option: progress[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][[238 in all] (2 runs, 2 of 2) done",
      () => deep(101),
    ],
    ["progress of a date", "completed (1 runs, 1 of 2) 1970-01-01T00:00:00.000Z", () => new Date(0)],
    ["progress of a lone surrogate", "completed (1 runs, 1 of 2) \ud800", () => "\ud800"],
    [
      "progress of a cycle",
      "failed invalid_option: progress[0] refers back to an object that contains it. (2 runs, 2 of 2) done",
      () => {
        const loop: unknown[] = [];
        loop.push(loop);
        return loop;
      },
    ],
  ];
  for (const [input, came, make] of progress)
    row(input, came, async (room) =>
      room.endsOn(
        room.queue,
        (_, ctx) => ctx.progress(odd(make())),
        {},
        (job) => job.progress,
      ),
    );
  row("progress a thousand times", "completed (1 runs, 1 of 2) 1000", (room) =>
    room.endsOn(
      room.queue,
      (_, ctx) => {
        for (let n = 1; n <= 1_000; n++) ctx.progress(n);
      },
      {},
      (job) => job.progress,
    ),
  );
  row("progress, changed afterwards by the handler", 'completed (1 runs, 1 of 2) {"page":1}', (room) =>
    room.endsOn(
      room.queue,
      (_, ctx) => {
        const at = { page: 1 };
        ctx.progress(at);
        at.page = 2;
      },
      {},
      (job) => job.progress,
    ),
  );
  row("progress and log after the handler has returned", "completed with done (1 runs, 1 of 2); done", async (room) => {
    let later = () => {};
    const end = await room.ends((_, ctx) => {
      later = () => {
        ctx.progress(1);
        ctx.log("late");
      };
      return "done";
    });
    return `${end}; ${await outcome(later)}`;
  });

  const lines: readonly (readonly [input: string, came: string, make: () => unknown])[] = [
    ["log(null)", 'completed (1 runs, 1 of 2) ["null"]', () => null],
    ["log of an empty text", 'completed (1 runs, 1 of 2) [""]', () => ""],
    ["log of a text of many lines", 'completed (1 runs, 1 of 2) ["a\\nb\\r\\nc"]', () => "a\nb\r\nc"],
    ["log of a bigint", 'completed (1 runs, 1 of 2) ["5"]', () => 5n],
    [
      "log of a cycle",
      'completed (1 runs, 1 of 2) ["[object Array]"]',
      () => {
        const loop: unknown[] = [];
        loop.push(loop);
        return loop;
      },
    ],
    ["log of an error", 'completed (1 runs, 1 of 2) ["Error: x"]', () => new Error("x")],
    ["log of a lone surrogate", 'completed (1 runs, 1 of 2) ["a\ufffdb"]', () => "a\ud800b"],
    [
      "log of an object whose toJSON throws",
      'completed (1 runs, 1 of 2) ["[object Object]"]',
      () => ({
        toJSON: () => {
          throw new Error("no");
        },
      }),
    ],
  ];
  for (const [input, came, make] of lines)
    row(input, came, (room) =>
      room.endsOn(
        room.queue,
        (_, ctx) => ctx.log(odd(make())),
        {},
        (job) => job.logs,
      ),
    );
  row("log of a thousand lines", 'completed (1 runs, 1 of 2) [100,"901","1000"]', (room) =>
    room.endsOn(
      room.queue,
      (_, ctx) => {
        for (let n = 1; n <= 1_000; n++) ctx.log(String(n));
      },
      {},
      ({ logs }) => [logs.length, logs[0], logs.at(-1)],
    ),
  );
  row("log of 5,000 two-byte characters", 'completed (1 runs, 1 of 2) [2050,"\u00e9\u2026 (cut)"]', (room) =>
    room.endsOn(
      room.queue,
      (_, ctx) => ctx.log("é".repeat(5_000)),
      {},
      ({ logs }) => [logs[0]?.length, logs[0]?.slice(-8)],
    ),
  );

  const tags: readonly (readonly [input: string, came: string, tags: unknown])[] = [
    ["tags: null", "refused invalid_option, names tags, 0 stored", null],
    ["tags: a text", "refused invalid_option, names tags, 0 stored", "red"],
    ["tags: a Set", "refused invalid_option, names tags, 0 stored", new Set(["red"])],
    ["tags: an empty list", "[], 1 stored", []],
    ["tags: an empty text in a list", "refused invalid_option, names tags[0], 0 stored", [""]],
    [
      "tags: 128 characters",
      '["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"], 1 stored',
      ["x".repeat(128)],
    ],
    ["tags: 129 characters", "refused invalid_option, names tags[0], 0 stored", ["x".repeat(129)]],
    ["tags: 33 of them", "refused invalid_option, names tags, 0 stored", Array(33).fill("a")],
    ["tags: the same twice", '["a","a"], 1 stored', ["a", "a"]],
    ["tags: holes", "refused invalid_option, names tags[0], 0 stored", new Array(2)],
    ["tags: a number", "refused invalid_option, names tags[1], 0 stored", ["a", 7]],
    ["tags: a lone surrogate", "refused invalid_option, names tags[0], 0 stored", ["\ud800"]],
    ["tags: __proto__", '["__proto__"], 1 stored', ["__proto__"]],
  ];
  for (const [input, came, value] of tags)
    row(input, came, async (room) => {
      const added = await outcome(
        async () => (await room.queue.get(await room.queue.addJob("tagged", 1, { tags: odd(value) })))?.tags,
      );
      return `${added}, ${await room.queue.size()} stored`;
    });

  const names: readonly (readonly [input: string, came: string, name: unknown])[] = [
    ["job name: empty", "refused invalid_option, names job name", ""],
    ["job name: 256 characters", "ran", "n".repeat(256)],
    ["job name: 257 characters", "refused invalid_option, names job name", "n".repeat(257)],
    ["job name: __proto__", "ran", "__proto__"],
    ["job name: constructor", "ran", "constructor"],
    ["job name: a slash, a percent sign and NUL", "ran", "a/%\u0000"],
    ["job name: a lone surrogate", "refused invalid_option, names job name", "\ud800"],
    ["job name: a number", "refused invalid_option, names job name", 7],
    ["job name: undefined", "refused invalid_option, names job name", undefined],
    ["job name: a boxed text", "refused invalid_option, names job name", Object("x")],
  ];
  for (const [input, came, name] of names)
    row(input, came, (room) =>
      outcome(async () => {
        const id = await room.queue.addJob(odd<string>(name), 1);
        room.queue.on(odd<"job:x">(`job:${name}`), () => "ran");
        await room.queue.drain();
        return (await room.queue.get(id))?.result;
      }),
    );
  const queueNames: readonly (readonly [input: string, came: string, name: unknown])[] = [
    ["queue name: undefined", "refused invalid_option, names queue name", undefined],
    ["queue name: null", "refused invalid_option, names queue name", null],
    ["queue name: an object", "refused invalid_option, names queue name", {}],
    ["queue name: 257 characters", "refused invalid_option, names queue name", "q".repeat(257)],
    ["queue name: __proto__", "completed with ran (1 runs, 1 of 2)", "__proto__"],
    ["queue name: control characters", "completed with ran (1 runs, 1 of 2)", "\u0000\u001f"],
    ["queue name: an emoji", "completed with ran (1 runs, 1 of 2)", "📮"],
    ["queue name: half an emoji", "refused invalid_option, names queue name", "📮".slice(0, 1)],
  ];
  for (const [input, came, name] of queueNames)
    row(input, came, (room) =>
      outcome(() => {
        const queue = room.open(odd(name));
        return room.endsOn(queue, () => "ran");
      }),
    );
});
