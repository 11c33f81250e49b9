import {
  COLLECTIONS,
  type Collection,
  get,
  type LeaseRecord,
  type Program,
  put,
  remove,
  removeRange,
  type Store,
  type StoredJob,
  scan,
  startingWith,
} from "@quayside/core/engine";
import type { TestRunner } from "../harness.ts";
import { snapshot } from "../invariants.ts";
import type { StoreCase } from "../store-suite.ts";
import { answer, job, jobs, lease, oneOfEach, readAll, write } from "./records.ts";

const collections = Object.keys(COLLECTIONS) as Collection[];

function* putOneOfEach(tag: string): Program<void> {
  const records = oneOfEach(tag);
  for (const collection of collections) yield* put(collection, [records[collection]]);
}

function* increment(worker: string): Program<number> {
  const [found] = yield* get("leases", [[worker]]);
  const next: LeaseRecord = lease(worker, (found?.exchange ?? 0) + 1);
  yield* put("leases", [next]);
  return next.exchange;
}

function* nothingTogether(): Program<unknown> {
  return yield [];
}

const failing = async (run: Promise<unknown>): Promise<unknown> => {
  try {
    await run;
  } catch (error) {
    return error;
  }
  throw new Error("The program should have failed.");
};

/**
 * Test cases about the guarantees of a store for whole programs: atomic, serial, durable when resolved, refused after
 * `close`.
 */
export function programCases(check: StoreCase, expect: TestRunner["expect"]): void {
  check("answers what it returns, also when it asks the store for nothing", async (store) => {
    expect(await store.transact(() => answer("done"))).toBe("done");
    expect(await store.transact(() => get("leases", []))).toEqual([]);
  });

  check("keeps every collection, and leaves the others alone", async (store) => {
    await store.transact(() => putOneOfEach("a"));
    const records = oneOfEach("a");
    const found = await store.transact(snapshot);
    for (const collection of collections) expect(found[collection], collection).toEqual([records[collection]]);
  });

  check(
    "finds what was put, also where the store may keep it in memory: a put that may wait",
    async (store, { another }) => {
      const other = await another();
      for (const worker of ["a", "b", "c"]) await write(store, "leases", [lease(worker, 1)]);
      await store.transact(() => put("leases", [lease("b", 2), lease("new", 2)], true));
      await store.transact(() => put("leases", [lease("b", 3)], true));
      const stand = async () => {
        for (const from of [store, other]) {
          expect(await from.transact(() => get("leases", [["b"], ["new"], ["none"]]))).toEqual([
            lease("b", 3),
            lease("new", 2),
            undefined,
          ]);
          const all = await from.transact(() => scan("leases", { from: ["a"], to: ["z"] }, 10));
          expect(all).toEqual([lease("a", 1), lease("b", 3), lease("c", 1), lease("new", 2)]);
        }
      };
      await stand();
      await failing(
        store.transact(function* (): Program<void> {
          yield* put("leases", [lease("b", 9), lease("c", 9)], true);
          expect(yield* get("leases", [["b"], ["c"]])).toEqual([lease("b", 9), lease("c", 9)]);
          throw new Error("undo");
        }),
      );
      await stand();
      await store.transact(() => put("leases", [lease("b", 4)]));
      expect(await other.transact(() => get("leases", [["b"]]))).toEqual([lease("b", 4)]);
      await store.transact(() => put("leases", [lease("b", 5), lease("c", 5)], true));
      await store.transact(() => remove("leases", [["b"]]));
      await store.transact(() => removeRange("leases", { from: ["c"], to: ["d"] }));
      expect(await other.transact(() => get("leases", [["b"], ["c"]]))).toEqual([undefined, undefined]);
      for (const worker of ["b", "c"]) await write(store, "leases", [lease(worker, 6)]);
      expect(await other.transact(() => get("leases", [["b"], ["c"]]))).toEqual([lease("b", 6), lease("c", 6)]);
    },
  );

  check("answers operations asked for together in their order, each seeing the ones before it", async (store) => {
    const [first, second] = jobs(2);
    await write(store, "jobs", [first as StoredJob]);
    const all = { op: "scan", collection: "jobs", ...startingWith("ready"), limit: 10 } as const;
    const answers = await store.transact(function* (): Program<unknown> {
      return yield [
        { op: "get", collection: "leases", keys: [["nobody"]] },
        all,
        { op: "put", collection: "jobs", records: [second as StoredJob] },
        { ...all, keysOnly: true },
        { op: "deleteRange", collection: "jobs", ...startingWith("ready") },
        all,
      ];
    });
    expect(answers).toEqual([[undefined], [first], undefined, [first?.key, second?.key], undefined, []]);
    expect(await readAll(store, "jobs")).toEqual([]);
    expect(await store.transact(() => nothingTogether())).toEqual([]);
  });

  check("is undone as a whole when it throws, and rejects with what it threw", async (store) => {
    await store.transact(() => putOneOfEach("a"));
    await write(store, "jobs", jobs(20, { queue: "other" }));
    const before = await store.transact(snapshot);
    const thrown = new Error("no");

    const error = await failing(
      store.transact(function* () {
        yield* putOneOfEach("b");
        yield* remove("jobs", [oneOfEach("a").jobs.key]);
        yield* removeRange("jobs", startingWith("ready", "other"));
        yield* put("tallies", [{ key: ["a"], ready: 99 }]);
        yield* put("leases", [lease("a", 7)]);
        yield* scan("jobs", startingWith("ready"), 10);
        yield* put("leases", [lease("c")]);
        throw thrown;
      }),
    );

    expect(error).toBe(thrown);
    expect(await store.transact(snapshot)).toEqual(before);
  });

  check("is undone when it throws right after a write, or before any", async (store) => {
    for (const records of [[], [lease("a")]]) {
      const thrown = new Error("no");
      const run = store.transact(function* () {
        yield* put("leases", records);
        throw thrown;
      });
      expect(await failing(run)).toBe(thrown);
    }
    expect(await readAll(store, "leases")).toEqual([]);
  });

  check("that threw keeps none from running after it", async (store) => {
    const failed = failing(
      store.transact(function* () {
        yield* increment("a");
        throw new Error("no");
      }),
    );
    const next = store.transact(() => increment("a"));
    await failed;
    expect(await next).toBe(1);
  });

  check(
    "runs serially with the programs of every store object: 200 increments of one record are 200",
    async (store, { another }) => {
      const other = await another();
      const answers = await Promise.all(
        Array.from({ length: 200 }, (_, tx) => (tx % 2 ? store : other).transact(() => increment("a"))),
      );
      expect([...answers].sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
      expect(await readAll(other, "leases")).toEqual([lease("a", 200)]);
    },
  );

  check("is seen by the next of another store object as soon as it resolves", async (store, { another }) => {
    const other = await another();
    for (let round = 1; round <= 10; round++) {
      await store.transact(() => increment("a"));
      expect(await readAll(other, "leases")).toEqual([lease("a", round)]);
    }
  });

  check("reads its own writes", async (store) => {
    await write(store, "jobs", jobs(5));
    const seen = await store.transact(function* () {
      yield* put("jobs", [job({ order: 9 })]);
      yield* remove("jobs", [job({ order: 0 }).key]);
      yield* removeRange("jobs", { from: job({ order: 2 }).key, to: job({ order: 4 }).key });
      const got = yield* get("jobs", [job({ order: 0 }).key, job({ order: 9 }).key]);
      const line = yield* scan("jobs", startingWith("ready"), 100);
      return { got, orders: line.map((found) => found.key[4]) };
    });
    expect(seen).toEqual({ got: [undefined, job({ order: 9 })], orders: [1, 4, 9] });
  });

  check("may take many steps", async (store) => {
    const sum = await store.transact(function* () {
      let total = 0;
      for (let round = 0; round < 300; round++) total += yield* increment("a");
      for (let round = 0; round < 3_000; round++) yield* put("leases", [lease("b", round)]);
      return total;
    });
    expect(sum).toBe(45_150);
    expect(await readAll(store, "leases")).toEqual([lease("a", 300), lease("b", 2_999)]);
  });

  check("that runs while its store is closed finishes first; a later one is refused", async (store) => {
    const finished: number[] = [];
    const running = [1, 2].map(() => store.transact(() => increment("a")).then((count) => finished.push(count)));
    await Promise.all([store.close(), store.close()]);
    expect(finished).toEqual([1, 2]);
    await Promise.all(running);
    await refused(store, expect);
    await store.close();
    store.announce([{ queue: "mail", kind: "ready" }]);
    store.watch(() => {})();
  });
}

async function refused(store: Store, expect: TestRunner["expect"]): Promise<void> {
  let started = false;
  const late = store.transact(() => {
    started = true;
    return answer(1);
  });
  await expect(late).rejects.toMatchObject({ code: "closed" });
  expect(started).toBe(false);
}
