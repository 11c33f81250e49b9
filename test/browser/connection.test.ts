import { IndexedDbStore, type IndexedDbStoreOptions, indexedDbDriver } from "@quayside/browser";
import { deleteDB, openDB } from "idb";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  canDeleteByForce,
  databaseOf,
  deleteByForce,
  drop,
  exists,
  freshName,
  NEWER,
  VERSION,
} from "./support/databases.ts";
import { failTransactions } from "./support/faults.ts";
import { OtherTab } from "./support/other-tab.ts";
import { count, increment } from "./support/programs.ts";

const closing = new DOMException("The database connection is closing.", "InvalidStateError");

afterEach(() => {
  vi.restoreAllMocks();
});

const times = <T>(amount: number, run: () => T): T[] => Array.from({ length: amount }, run);

describe("IndexedDbStore: records", () => {
  it("are there again for another store object, after the first was closed", async () => {
    const name = freshName();
    const first = new IndexedDbStore({ name });
    await first.transact(increment);
    await first.close();
    const second = new IndexedDbStore({ name });
    expect(await second.transact(count)).toBe(1);
    await second.close();
  });

  it("are apart from those of another name, and from the app's own database of that name", async () => {
    const name = freshName();
    const own = await openDB(name, 7, { upgrade: (database) => void database.createObjectStore("mine") });
    const stores = [new IndexedDbStore({ name }), new IndexedDbStore({ name: `${name}-2` })];
    await stores[0]?.transact(increment);
    expect(await stores[1]?.transact(count)).toBe(0);
    expect([...own.objectStoreNames]).toEqual(["mine"]);
    own.close();
    await Promise.all(stores.map((store) => store.close()));
  });

  it("are shared with other contexts, and programs of all are serial", async () => {
    const name = freshName();
    const store = new IndexedDbStore({ name });
    const tab = new OtherTab();
    const [here, there] = await Promise.all([
      Promise.all(times(100, () => store.transact(increment))),
      tab.ask({ do: "increment", name, times: 100 }) as Promise<number[]>,
    ]);
    expect(new Set([...here, ...there]).size).toBe(200);
    expect(await store.transact(count)).toBe(200);
    tab.crash();
    await store.close();
  });
});

describe("IndexedDbStore: a connection", () => {
  it("makes way for an upgrade that another tab wants, after the programs that run; later ones say to reload", async () => {
    const name = freshName();
    const store = new IndexedDbStore({ name });
    await store.transact(increment);
    const running = times(20, () => store.transact(increment));
    const newer = await openDB(databaseOf(name), NEWER);
    expect((await Promise.all(running)).at(-1)).toBe(21);
    expect((await newer.getAll("leases"))[0]).toMatchObject({ exchange: 21 });
    await expect(store.transact(increment)).rejects.toMatchObject({
      code: "storage_unavailable",
      details: { reason: "newer_version" },
    });
    newer.close();
    await store.close();
  });

  it("comes back by itself when the upgrade did not happen", async () => {
    const name = freshName();
    const store = new IndexedDbStore({ name });
    await store.transact(increment);
    const failed = openDB(databaseOf(name), NEWER, {
      upgrade: (_database, _from, _to, transaction) => {
        transaction.done.catch(() => {});
        transaction.abort();
      },
    });
    await expect(failed).rejects.toThrow();
    expect(await store.transact(increment)).toBe(2);
    await store.close();
  });

  it("lets the database be deleted, says so from then on, and does not make it anew", async () => {
    const name = freshName();
    const store = new IndexedDbStore({ name });
    await store.transact(increment);
    await drop(name);
    for (const attempt of times(2, () => store.transact(increment))) {
      await expect(attempt).rejects.toMatchObject({ code: "storage_unavailable", details: { reason: "deleted" } });
    }
    expect(await exists(name)).toBe(false);
    await store.close();
  });

  it("is made anew by a new store object, for the old one too", async () => {
    const name = freshName();
    const old = new IndexedDbStore({ name });
    await old.transact(increment);
    await drop(name);
    await expect(old.transact(count)).rejects.toMatchObject({ details: { reason: "deleted" } });
    const next = new IndexedDbStore({ name });
    expect(await next.transact(increment)).toBe(1);
    expect(await old.transact(increment)).toBe(2);
    await Promise.all([old.close(), next.close()]);
  });

  it.runIf(canDeleteByForce)(
    "closed by force in the middle of its programs, with the database deleted, loses none of them silently",
    async () => {
      const name = freshName();
      const store = new IndexedDbStore({ name });
      await store.transact(increment);
      let deleted = false;
      const ends: Promise<unknown>[] = [];
      const deleting = deleteByForce(name).then(() => {
        deleted = true;
      });
      while (!deleted) {
        ends.push(...times(20, () => store.transact(increment).catch((error: unknown) => error)));
        await ends.at(-20);
      }
      await deleting;
      const refused = (await Promise.all(ends)).filter((end) => typeof end !== "number");
      expect(refused.length).toBeGreaterThan(0);
      for (const error of refused) expect(error).toMatchObject({ code: "storage_unavailable" });
      await expect(store.transact(count)).rejects.toMatchObject({ details: { reason: "deleted" } });
      expect(await exists(name)).toBe(false);
      await store.close();
    },
  );

  it.runIf(canDeleteByForce)("closed by force while nothing runs is not used again", async () => {
    const name = freshName();
    const store = new IndexedDbStore({ name });
    await store.transact(increment);
    await deleteByForce(name);
    const asked = failTransactions(0, "refuse", closing);
    await expect(store.transact(count)).rejects.toMatchObject({ details: { reason: "deleted" } });
    expect(asked()).toBe(0);
    await store.close();
  });

  it("that cannot be had because a third tab holds the database is not waited for without end", async () => {
    const name = freshName();
    const holder = await openDB(databaseOf(name), VERSION);
    const deleting = deleteDB(databaseOf(name));
    const store = new IndexedDbStore({ name, openTimeout: 50 });
    await expect(store.transact(count)).rejects.toMatchObject({
      code: "storage_unavailable",
      details: { reason: "blocked" },
    });
    holder.close();
    await deleting;
    // Making it may take an engine longer than this store has patience.
    await vi.waitFor(async () => expect(await store.transact(increment)).toBe(1), { timeout: 10_000 });
    await store.close();
  });

  it("that is not there is no reason to wait when the store closes", async () => {
    const name = freshName();
    await new IndexedDbStore({ name }).close();
    expect(await exists(name)).toBe(false);
  });

  it("fails where there is no IndexedDB, and works once there is", async () => {
    const missing = vi.spyOn(window, "indexedDB", "get").mockReturnValue(undefined as never);
    const store = new IndexedDbStore({ name: freshName() });
    await expect(store.transact(count)).rejects.toMatchObject({
      code: "storage_unavailable",
      details: { reason: "failed" },
    });
    missing.mockRestore();
    expect(await store.transact(increment)).toBe(1);
    await store.close();
  });
});

describe("IndexedDbStore: options", () => {
  it("are checked where they are written", () => {
    const wrong: [option: string, value: unknown][] = [
      ["name", ""],
      ["name", undefined],
      ["durability", "loose"],
      ["openTimeout", -1],
      ["openTimeout", "soon"],
    ];
    for (const [option, value] of wrong) {
      const options = { name: "a", [option]: value } as unknown as IndexedDbStoreOptions;
      const refusal = expect.objectContaining({ code: "invalid_option", details: { option } });
      expect(() => new IndexedDbStore(options)).toThrow(refusal);
      expect(() => indexedDbDriver(options)).toThrow(refusal);
    }
  });
});
