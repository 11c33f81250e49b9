import { escapePart, get, type Key, scan, scanKeys, startingWith } from "@quayside/core/engine";
import type { TestRunner } from "../harness.ts";
import type { StoreCase } from "../store-suite.ts";
import { ALL, idRecord, type JobPart, job, lease, readAll, write } from "./records.ts";

/** The latest time of a JavaScript date: ±8.64e15 ms (ECMA-262, Time Values). */
const LAST_INSTANT = 8_640_000_000_000_000;

/**
 * Texts in ascending order. Does not compare texts above U+FFFF with those from U+E000 to U+FFFF, which stores sort by
 * UTF-16 units (IndexedDB) or by code points (SQLite); no rule depends on their order.
 */
const TEXTS = [
  " ",
  "%2f",
  "/",
  "0",
  "10",
  "9",
  "A",
  "Z",
  "_",
  "__proto__",
  "a",
  "a b",
  `a${escapePart("/")}b`,
  "a/name/b",
  "aa",
  "b",
  "constructor",
  "~",
  "É",
  "Übung",
  "é",
  "éa",
  "я",
  "日本",
  "日本語",
  "😀",
];

/** Legal names that break keys made by joining strings or by JSON. */
const AWKWARD = [
  "\u0000",
  "\u0001",
  "\u0002",
  "\u0003",
  "\u0002\u0003",
  "\u0001\u0004",
  "a\u0000b",
  "a",
  "a\u0000",
  "\n",
  "\t",
  '"',
  "'",
  "\\",
  "[]",
  "null",
  "\u2028",
  "\ufeff",
  "e\u0301",
  "é",
  "😀",
  "\uffff",
];

/** Test cases about the order of keys, part by part. */
export function keyCases(check: StoreCase, expect: TestRunner["expect"]): void {
  check("compare part by part: text, then numbers by value, negative ones first", async (store) => {
    const line: JobPart[] = [
      { queue: "a", priority: 100, at: 5_000 },
      { queue: "a", priority: 9, at: 5_000 },
      { queue: "a", priority: 1, at: 0 },
      { queue: "a", priority: 1, at: 999 },
      { queue: "a", priority: 1, at: 1_000 },
      { queue: "a", priority: 1, at: 10_000 },
      { queue: "a", priority: 1, at: LAST_INSTANT },
      { queue: "a", priority: 0, at: 1, order: 1, tag: "bbbbbbbb" },
      { queue: "a", priority: 0, at: 1, order: 2, tag: "aaaaaaaa" },
      { queue: "a", priority: 0, at: 1, order: 2, tag: "aaaaaaab" },
      { queue: "a", priority: 0, at: 1, order: 10, tag: "aaaaaaaa" },
      { queue: "a", priority: 0, at: 1, order: Number.MAX_SAFE_INTEGER, tag: "aaaaaaaa" },
      { queue: "a", priority: -1, at: 0 },
      { queue: "a", priority: -10, at: 0 },
      { queue: "a", priority: -100, at: 0 },
      { queue: "ab", priority: 100, at: 0 },
      { queue: "b", priority: 100, at: 0 },
    ];
    const inOrder = line.map(job);
    await write(store, "jobs", shuffled(inOrder));
    expect(await readAll(store, "jobs")).toEqual(inOrder);
  });

  check("compare numbers by value at every power of two, below zero too", async (store) => {
    const powers = Array.from({ length: 53 }, (_, n) => [2 ** n - 1, 2 ** n]).flat();
    const instants = [...new Set([...powers.filter((at) => at <= LAST_INSTANT), LAST_INSTANT])];
    const orders = [...new Set([...powers, Number.MAX_SAFE_INTEGER])].map((order) => ({ at: LAST_INSTANT, order }));
    const inOrder = [
      ...[100, 64, 1].flatMap((priority) => [{ priority, at: 5 }]),
      ...instants.slice(0, -1).map((at) => ({ at, order: 1 })),
      ...orders.slice(1),
      ...[-1, -64, -100].flatMap((priority) => [{ priority, at: 5 }]),
    ].map(job);
    await write(store, "jobs", shuffled(inOrder));
    expect(await readAll(store, "jobs")).toEqual(inOrder);
    const keys = inOrder.map(({ key }) => key);
    expect(await store.transact(() => scanKeys("jobs", ALL, 1_000))).toEqual(keys);
    for (const [index, key] of keys.entries())
      expect(await store.transact(() => scanKeys("jobs", { from: key, to: ALL.to }, 1_000))).toEqual(keys.slice(index));
  });

  check("compare text by its characters, not by a language", async (store) => {
    await write(store, "ids", shuffled(TEXTS.map((text) => idRecord("mail", text))));
    const found = await store.transact(() => scanKeys("ids", startingWith("mail"), 100));
    expect(found.map(([, id]) => id)).toEqual(TEXTS);
  });

  check("may be any well-formed text, and are found again by it alone", async (store) => {
    const keys = AWKWARD.map((text) => [text, `${text}!`] as const);
    await write(
      store,
      "ids",
      keys.map(([queue, id]) => idRecord(queue, id)),
    );
    expect(await store.transact(() => get("ids", keys))).toEqual(keys.map(([queue, id]) => idRecord(queue, id)));
    // Beyond this, stores sort differently.
    const found = await store.transact(() => scanKeys("ids", { from: [""], to: ["\ud000"] }, 100));
    const spelled = (some: readonly Key[]) => new Set(some.map((key) => JSON.stringify(key)));
    expect(spelled(found)).toEqual(spelled(keys.filter(([text]) => text < "\ud000")));
    expect(
      await store.transact(() =>
        get("ids", [
          ["a", "a\u0000!"],
          ["a\u0000", "a!"],
          ["", "a!"],
        ]),
      ),
    ).toEqual([undefined, undefined, undefined]);
  });

  check("of one part or of many come back as they were put", async (store) => {
    await write(store, "leases", [lease("b"), lease("a")]);
    await write(store, "jobs", [job({ priority: -3, at: LAST_INSTANT, order: Number.MAX_SAFE_INTEGER })]);
    expect(await store.transact(() => scanKeys("leases", ALL, 10))).toEqual([["a"], ["b"]]);
    const [found] = await store.transact(() => scan("jobs", ALL, 10));
    expect(found?.key).toEqual(["ready", "mail", 3, LAST_INSTANT, Number.MAX_SAFE_INTEGER, "aaaaaaaa"]);
  });
}

/** Returns the items in a fixed mixed order. */
function shuffled<T>(items: readonly T[]): T[] {
  const step = 7;
  const left = [...items];
  const mixed: T[] = [];
  for (let at = 0; left.length > 0; at = (at + step) % Math.max(1, left.length))
    mixed.push(...left.splice(at % left.length, 1));
  return mixed;
}
