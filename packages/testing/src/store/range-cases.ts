import {
  after,
  type JobKey,
  type Key,
  type Operation,
  type Program,
  type Range,
  removeRange,
  type Store,
  type StoredJob,
  scan,
  scanKeys,
  startingWith,
} from "@quayside/core/engine";
import type { TestRunner } from "../harness.ts";
import type { StoreCase } from "../store-suite.ts";
import { ALL, job, jobs, readAll, write } from "./records.ts";

const ordersOf = (found: readonly StoredJob[]): number[] => found.map((one) => one.key[4]);

const scanned = async (
  store: Store,
  range: Range,
  limit = Number.POSITIVE_INFINITY,
  direction?: "reverse",
): Promise<number[]> => ordersOf(await store.transact(() => scan("jobs", range, limit, direction)));

function* raw<T>(operation: Operation): Program<T> {
  return (yield operation) as T;
}

/** Test cases about half-open ranges, whose bounds may be prefixes, and the ways to read them. */
export function rangeCases(check: StoreCase, expect: TestRunner["expect"]): void {
  check("includes its beginning and excludes its end", async (store) => {
    await write(store, "jobs", jobs(6));
    const key = (order: number) => job({ order }).key;
    expect(await scanned(store, { from: key(1), to: key(4) })).toEqual([1, 2, 3]);
    expect(await scanned(store, { from: key(3), to: key(3) })).toEqual([]);
    expect(await scanned(store, { from: key(4), to: key(1) })).toEqual([]);
    expect(await scanned(store, { from: key(4), to: key(1) }, 10, "reverse")).toEqual([]);
    expect(await scanned(store, { from: [], to: ["s"] })).toEqual([0, 1, 2, 3, 4, 5]);
  });

  check(
    "that begins with a prefix has all keys from there on; one that ends with a prefix has none that begin so",
    async (store) => {
      const line = [
        job({ priority: 2, order: 1 }),
        job({ priority: 1, order: 2 }),
        job({ at: 5, order: 3 }),
        job({ at: 6, order: 4 }),
        job({ at: 7, order: 5 }),
      ];
      await write(store, "jobs", line);
      expect(await scanned(store, { from: ["ready", "mail", -1], to: ["ready", "mail", 0, 7] })).toEqual([2, 3, 4]);
      expect(await scanned(store, { from: ["ready", "mail"], to: ["ready", "mail", 0] })).toEqual([1, 2]);
      expect(await scanned(store, { from: ["ready"], to: ["ready"] })).toEqual([]);
      expect(await scanned(store, { from: ["ready"], to: ["ready", "mail"] })).toEqual([]);
    },
  );

  check("startingWith a prefix has what begins with it and not what begins alike", async (store) => {
    const queues = ["mai", "mail", "mail%2f", "mail/", "mail0", "maila", "mailé", "mail😀", "main"];
    const line = queues.map((queue, order) => job({ queue, order }));
    await write(store, "jobs", line);
    for (const one of line)
      expect(await scanned(store, startingWith("ready", one.key[1])), one.queue).toEqual([one.key[4]]);
    expect(await scanned(store, startingWith("ready"))).toHaveLength(queues.length);
    expect(await scanned(store, startingWith("read"))).toEqual([]);
  });

  check("startingWith a number has that number alone, negative ones too", async (store) => {
    await write(
      store,
      "jobs",
      [-10, -1, 0, 1, 10].map((priority) => job({ priority, order: priority + 10 })),
    );
    for (const priority of [-10, -1, 0, 1, 10]) {
      expect(await scanned(store, startingWith("ready", "mail", 0 - priority)), String(priority)).toEqual([
        priority + 10,
      ]);
    }
    expect(await scanned(store, { from: after(["ready", "mail", -1]), to: after(["ready", "mail"]) })).toEqual([
      10, 9, 0,
    ]);
  });

  check("after a key goes on behind it, as pages do", async (store) => {
    await write(store, "jobs", jobs(7));
    const { from, to } = startingWith("ready", "mail");
    const pages: number[][] = [];
    let start: Key = from;
    for (;;) {
      const page = await store.transact(() => scan("jobs", { from: start, to }, 3));
      const last = page.at(-1);
      if (!last) break;
      pages.push(ordersOf(page));
      start = after(last.key);
    }
    expect(pages).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
  });

  check("is read up to the limit, from either end; Infinity is no limit, 0 is nothing", async (store) => {
    await write(store, "jobs", jobs(6));
    const range = startingWith("ready", "mail");
    expect(await scanned(store, range, 2)).toEqual([0, 1]);
    expect(await scanned(store, range, 6)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await scanned(store, range, Number.POSITIVE_INFINITY)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await scanned(store, range, Number.MAX_SAFE_INTEGER)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await scanned(store, range, 2, "reverse")).toEqual([5, 4]);
    expect(await scanned(store, range, Number.POSITIVE_INFINITY, "reverse")).toEqual([5, 4, 3, 2, 1, 0]);
    for (const reverse of [false, true]) {
      const none: Operation = { op: "scan", collection: "jobs", ...range, limit: 0, reverse };
      expect(await store.transact(() => raw(none))).toEqual([]);
    }
  });

  check("read backwards keeps its bounds: the beginning in, the end out", async (store) => {
    await write(store, "jobs", jobs(6));
    const range: Range = { from: job({ order: 1 }).key, to: job({ order: 4 }).key };
    expect(await scanned(store, range, 10, "reverse")).toEqual([3, 2, 1]);
    expect(await scanned(store, { from: ["ready", "mail"], to: job({ order: 2 }).key }, 10, "reverse")).toEqual([1, 0]);
  });

  check("read for its keys alone answers keys, from either end", async (store) => {
    const line = jobs(4);
    await write(store, "jobs", line);
    const keys: JobKey[] = line.map((one) => one.key);
    const range = startingWith("ready", "mail");
    expect(await store.transact(() => scanKeys("jobs", range, 10))).toEqual(keys);
    expect(await store.transact(() => scanKeys("jobs", range, 3))).toEqual(keys.slice(0, 3));
    const back: Operation = { op: "scan", collection: "jobs", ...range, limit: 3, reverse: true, keysOnly: true };
    expect(await store.transact(() => raw(back))).toEqual([...keys].reverse().slice(0, 3));
  });

  check("is deleted as it is read: the beginning too, the end not, nothing where it is empty", async (store) => {
    const line = jobs(6);
    const other = job({ queue: "mailbox", order: 9 });
    await write(store, "jobs", [...line, other]);
    const key = (order: number) => job({ order }).key;
    await store.transact(() => removeRange("jobs", { from: key(3), to: key(3) }));
    await store.transact(() => removeRange("jobs", { from: key(5), to: key(0) }));
    expect(await scanned(store, ALL)).toEqual([0, 1, 2, 3, 4, 5, 9]);
    await store.transact(() => removeRange("jobs", { from: key(1), to: key(4) }));
    expect(await scanned(store, ALL)).toEqual([0, 4, 5, 9]);
    await store.transact(() => removeRange("jobs", startingWith("ready", "mail")));
    expect(await readAll(store, "jobs")).toEqual([other]);
  });
}
