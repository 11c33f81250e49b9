import { get, type LeaseRecord, put, remove, scan, startingWith } from "@quayside/core/engine";
import type { TestRunner } from "../harness.ts";
import type { StoreCase } from "../store-suite.ts";
import { ALL, idRecord, job, jobs, lease, readAll, write } from "./records.ts";

/**
 * Tries to change a record that a store has returned or was given. If the record is frozen, the change throws, which is
 * ignored.
 */
function attempt(change: () => void): void {
  try {
    change();
  } catch {
    // Frozen.
  }
}

/** Test cases about the effect of each operation on its records. */
export function operationCases(check: StoreCase, expect: TestRunner["expect"]): void {
  check(
    "get answers in the order of the keys, undefined where nothing is, twice what is asked for twice",
    async (store) => {
      await write(store, "leases", [lease("b"), lease("a"), lease("d")]);
      const found = await store.transact(() => get("leases", [["d"], ["c"], ["a"], ["d"], ["zz"]]));
      expect(found).toEqual([lease("d"), undefined, lease("a"), lease("d"), undefined]);
    },
  );

  check("put replaces the whole record; of two with one key the later stays", async (store) => {
    const bare: LeaseRecord = { ...lease("a", 1), held: [] };
    await write(store, "leases", [{ ...lease("a"), name: "resizer", lost: ["1"] }, lease("b")]);
    await write(store, "leases", [lease("a", 9), bare]);
    expect(await readAll(store, "leases")).toEqual([bare, lease("b")]);
  });

  check("delete takes what is there and does not mind what is not", async (store) => {
    await write(store, "ids", [idRecord("mail", "1"), idRecord("mail", "2"), idRecord("mail", "3")]);
    await store.transact(() =>
      remove("ids", [
        ["mail", "2"],
        ["mail", "7"],
        ["post", "1"],
        ["mail", "2"],
      ]),
    );
    expect(await readAll(store, "ids")).toEqual([idRecord("mail", "1"), idRecord("mail", "3")]);
  });

  check("put keeps a record as it was, whatever becomes of the object", async (store) => {
    const given = { ...lease("a"), held: [{ ...lease("a").held[0] }], lost: ["1"] };
    await write(store, "leases", [given as LeaseRecord]);
    attempt(() => {
      given.exchange = 99;
    });
    attempt(() => {
      given.held.push({ id: "intruder" });
    });
    attempt(() => {
      (given.held[0] as { id: string }).id = "changed";
    });
    attempt(() => {
      given.lost[0] = "2";
    });
    expect(await readAll(store, "leases")).toEqual([{ ...lease("a"), lost: ["1"] }]);
  });

  check("a record that was read cannot be used to change the stored one", async (store) => {
    await write(store, "leases", [lease("a")]);
    const [[got], [scanned]] = await store.transact(function* () {
      return [yield* get("leases", [["a"]]), yield* scan("leases", ALL, 1)] as const;
    });
    for (const read of [got, scanned] as { exchange: number }[])
      attempt(() => {
        read.exchange = 99;
      });
    expect(await readAll(store, "leases")).toEqual([lease("a")]);
  });

  check("takes large batches: 5,000 records put, got, scanned and deleted in one each", async (store) => {
    const many = jobs(5_000);
    await write(store, "jobs", many);
    const keys = many.map((one) => one.key);
    expect(await store.transact(() => get("jobs", keys))).toEqual(many);
    expect(await store.transact(() => scan("jobs", startingWith("ready", "mail"), 10_000))).toEqual(many);
    await store.transact(() => remove("jobs", keys.slice(1)));
    expect(await readAll(store, "jobs")).toEqual([many[0]]);
  });

  check("takes a record of 100 KiB, whatever the script", async (store) => {
    const latin = job({ order: 1, payload: JSON.stringify("x".repeat(100 * 1_024)) });
    const wide = job({ order: 2, payload: JSON.stringify("漢字😀\n\u0000".repeat(10_000)) });
    await store.transact(() => put("jobs", [latin, wide]));
    expect(await readAll(store, "jobs")).toEqual([latin, wide]);
  });
}
