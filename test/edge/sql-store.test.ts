import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { COLLECTIONS, type Key, type Operation, type Program, type StoredJob } from "@quayside/core/engine";
import { SqlStore } from "@quayside/edge/engine";
import { storeConformance } from "@quayside/testing";
import { afterEach, describe, expect, it } from "vitest";
import { noting, recordsIn } from "./in-object.ts";

const object = () => env.SMOKE.get(env.SMOKE.newUniqueId());

describe("SqlStore", () => {
  storeConformance({ describe, it, expect }, async () => {
    const records = await recordsIn(object());
    const store = records.open();
    return { store, another: async () => records.open(), close: () => store.close() };
  });
});

const AT = Date.UTC(2026, 0, 1);

/** The job at place `index` of the line: one a millisecond. */
function job(index: number, lane = "mail"): StoredJob {
  const key = ["ready", lane, 0, AT + index, index, "abcdefgh"] as const;
  const body = JSON.stringify({ to: "ada@example.com", subject: "Hello", body: "x".repeat(100) });
  return {
    key,
    id: `id-${index}`,
    queue: lane,
    name: "email",
    payload: body,
    priority: 0,
    addedAt: AT,
    availableAt: AT,
  };
}

const jobs = (count: number, lane?: string) => Array.from({ length: count }, (_, index) => job(index, lane));

/** Runs one operation and answers what it cost. */
function cost(store: SqlStore, operation: Operation): { rows: number; read: number; written: number } {
  const before = { read: store.rowsRead, written: store.rowsWritten };
  function* program(): Program<unknown> {
    return yield operation;
  }
  const answer = store.run(program);
  const rows = Array.isArray(answer) ? answer.filter((row) => row !== undefined).length : 0;
  return { rows, read: store.rowsRead - before.read, written: store.rowsWritten - before.written };
}

const inStore = <T>(work: (store: SqlStore, storage: DurableObjectStorage) => T) =>
  runInDurableObject(object(), (_, state) => work(new SqlStore(state.storage), state.storage));

const put = (records: readonly StoredJob[]): Operation => ({ op: "put", collection: "jobs", records });
const range = (from: Key, to: Key, limit: number, reverse = false): Operation => ({
  op: "scan",
  collection: "jobs",
  from,
  to,
  limit,
  reverse,
});

describe("the rows that a SqlStore is billed for", () => {
  it("are one written for each put, new or replaced, in batches of any size", async () => {
    await inStore((store) => {
      expect(cost(store, put(jobs(1)))).toMatchObject({ written: 1 });
      expect(cost(store, put(jobs(100)))).toMatchObject({ written: 100 });
      expect(cost(store, put(jobs(1_000, "logs")))).toMatchObject({ written: 1_000 });
    });
  });

  it("are one written for each delete, by key or by range, and none for what is not there", async () => {
    await inStore((store) => {
      cost(store, put(jobs(300)));
      const keys = jobs(300).map(({ key }) => key);
      expect(cost(store, { op: "delete", collection: "jobs", keys: keys.slice(0, 1) })).toMatchObject({ written: 1 });
      expect(cost(store, { op: "delete", collection: "jobs", keys: keys.slice(0, 101) })).toMatchObject({
        written: 100,
      });
      const [from, to] = [keys[150] as Key, keys[250] as Key];
      expect(cost(store, { op: "deleteRange", collection: "jobs", from, to })).toMatchObject({ written: 100 });
      expect(cost(store, { op: "deleteRange", collection: "jobs", from, to })).toMatchObject({ written: 0 });
    });
  });

  it("are as many read as a scan answers, and two more at most, at any depth and from either end", async () => {
    await inStore((store) => {
      cost(store, put(jobs(5_000)));
      const scans = [
        range(["ready"], ["ready\u0001"], 1),
        range(["ready", "mail"], ["ready", "mail\u0001"], 50),
        range(["ready", "mail"], ["ready", "mail\u0001"], 50, true),
        range(["ready", "mail", 0], ["ready", "mail", 0, AT + 30], 100),
        range(["ready", "mail", 0, AT + 4_000], ["ready", "mail", 1], 100),
        range(["ready", "mail", 0, AT + 4_000, 0, ""], ["ready", "mail", 0, AT + 4_020], 100),
        range([...job(2_000).key], [...job(2_100).key], 1_000),
        range([...job(2_000).key], [...job(2_100).key], 10, true),
      ];
      for (const scan of scans) {
        const { rows, read, written } = cost(store, scan);
        expect(rows).toBeGreaterThan(0);
        expect(read).toBeLessThanOrEqual(rows + 2);
        expect(written).toBe(0);
      }
    });
  });

  it("are none for a derived collection", async () => {
    await inStore((store) => {
      const tally: Operation = { op: "put", collection: "tallies", records: [{ key: ["mail"], ready: 3 }] };
      expect(cost(store, tally)).toMatchObject({ written: 0, read: 0 });
    });
  });
});

describe("the statements of a SqlStore", () => {
  it("all search the primary key: none reads a whole table, none sorts", async () => {
    await runInDurableObject(object(), (_, state) => {
      const { storage, statements } = noting(state.storage);
      const store = new SqlStore(storage);
      cost(store, put(jobs(1)));
      statements.length = 0;
      const keys = jobs(200).map(({ key }) => key);
      const [from, to] = [keys[0] as Key, keys[150] as Key];
      cost(store, put(jobs(1)));
      cost(store, put(jobs(200)));
      cost(store, { op: "get", collection: "jobs", keys });
      cost(store, { op: "get", collection: "jobs", keys: keys.slice(0, 1) });
      for (const reverse of [false, true]) {
        cost(store, range(["ready"], ["ready\u0001"], 10, reverse));
        cost(store, range(["ready", "mail", 0, AT], ["ready", "mail", 1], 10, reverse));
        cost(store, range(from, to, 10, reverse));
        cost(store, range(from, ["ready", "mail", 0, AT + 10], 10, reverse));
      }
      cost(store, { op: "scan", collection: "leases", from: [""], to: ["~"], limit: 10 });
      cost(store, { op: "delete", collection: "jobs", keys: keys.slice(0, 1) });
      cost(store, { op: "delete", collection: "jobs", keys: keys.slice(0, 20) });
      cost(store, { op: "deleteRange", collection: "jobs", from, to });
      for (const { text, bindings } of statements) {
        const plan = state.storage.sql.exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${text}`, ...bindings).toArray();
        const steps = plan.map(({ detail }) => detail);
        const reads = steps.filter((step) => !step.includes("VIRTUAL TABLE") && !step.startsWith("LIST SUBQUERY"));
        for (const step of reads) expect(step, text).toMatch(/^SEARCH \S+ USING PRIMARY KEY/);
        if (!text.startsWith("INSERT")) expect(reads, text).toHaveLength(1);
      }
    });
  });

  it("stay under the limits of a bound value: a batch of 6 MB goes in several", async () => {
    await runInDurableObject(object(), (_, state) => {
      const { storage, statements } = noting(state.storage);
      const store = new SqlStore(storage);
      cost(store, put(jobs(1)));
      statements.length = 0;
      const large = jobs(60).map((record) => ({ ...record, payload: JSON.stringify("ñ".repeat(50_000)) }));
      expect(cost(store, put(large))).toMatchObject({ written: 60 });
      for (const { bindings } of statements) {
        for (const value of bindings) expect(new TextEncoder().encode(String(value)).length).toBeLessThan(2_000_000);
      }
      const keys = large.map(({ key }) => key);
      expect(cost(store, { op: "get", collection: "jobs", keys })).toMatchObject({ rows: 60 });
    });
  });
});

describe("the tables of a SqlStore", () => {
  it("are one for each collection that is not derived, its key as columns", async () => {
    await inStore((store, { sql }) => {
      cost(store, put(jobs(1)));
      for (const [name, { key, derived }] of Object.entries(COLLECTIONS)) {
        const columns = sql.exec<{ name: string; pk: number }>(`PRAGMA table_info(quayside_${name})`).toArray();
        const parts = columns.filter(({ pk }) => pk > 0).map((column) => column.name);
        expect(parts).toEqual(derived ? [] : key.map((part) => part.name));
      }
    });
  });

  it("are made by the first put, and not by what reads or deletes", async () => {
    await inStore((store, { sql }) => {
      const tables = () => sql.exec("SELECT name FROM sqlite_master WHERE name LIKE 'quayside%'").toArray().length;
      const keys = jobs(2).map(({ key }) => key);
      expect(cost(store, { op: "get", collection: "jobs", keys })).toMatchObject({ read: 0 });
      expect(cost(store, range(["ready"], ["ready\u0001"], 10))).toMatchObject({ rows: 0 });
      cost(store, { op: "delete", collection: "jobs", keys });
      cost(store, { op: "deleteRange", collection: "jobs", from: ["ready"], to: ["ready\u0001"] });
      expect(tables()).toBe(0);
      cost(store, put(jobs(3)));
      expect(cost(store, range(["ready"], ["ready\u0001"], 10))).toMatchObject({ rows: 3 });
      expect(tables()).toBe(6);
    });
  });

  it("are made again after a program that made them was undone, and after all was deleted", async () => {
    await runInDurableObject(object(), async (_, { storage }) => {
      const store = new SqlStore(storage);
      const all = range(["ready"], ["ready\u0001"], 10);
      for (const again of [1, 2]) {
        expect(() =>
          storage.transactionSync(() => {
            cost(store, put(jobs(3)));
            throw new Error("undo");
          }),
        ).toThrow("undo");
        expect(cost(store, all)).toMatchObject({ rows: 0 });
        cost(store, put(jobs(again)));
        expect(cost(store, all)).toMatchObject({ rows: again });
        await storage.deleteAll();
      }
      expect(cost(store, all)).toMatchObject({ rows: 0 });
    });
  });

  it("are made once: a store on the same storage finds its records again", async () => {
    await runInDurableObject(object(), (_, state) => {
      cost(new SqlStore(state.storage), put(jobs(3)));
      const { storage, statements } = noting(state.storage);
      const again = new SqlStore(storage);
      expect(statements.some(({ text }) => text.includes("quayside_jobs"))).toBe(false);
      expect(cost(again, range(["ready"], ["ready\u0001"], 10))).toMatchObject({ rows: 3 });
    });
  });
});

describe("a program that throws", () => {
  it("leaves what is kept in memory as it was, too", async () => {
    await inStore((store) => {
      const tally = (ready: number): Operation => ({
        op: "put",
        collection: "tallies",
        records: [{ key: ["mail"], ready }],
      });
      cost(store, tally(1));
      expect(() =>
        store.run(function* () {
          yield tally(2);
          throw new Error("undo");
        }),
      ).toThrow("undo");
      const found = store.run(function* (): Program<unknown> {
        return yield { op: "get", collection: "tallies", keys: [["mail"]] };
      });
      expect(found).toEqual([{ key: ["mail"], ready: 1 }]);
    });
  });
});

afterEach(reset);
