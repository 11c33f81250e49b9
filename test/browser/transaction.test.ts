import { IndexedDbStore } from "@quayside/browser";
import { afterEach, describe, expect, it, vi } from "vitest";
import { freshName } from "./support/databases.ts";
import { failTransactions } from "./support/faults.ts";
import { count, increment } from "./support/programs.ts";

/** As WebKit says it when its database process has ended. */
const lost = new DOMException(
  "Connection to Indexed Database server lost. Refresh the page to try again",
  "UnknownError",
);
const closing = new DOMException("The database connection is closing.", "InvalidStateError");

afterEach(() => {
  vi.restoreAllMocks();
});

describe("IndexedDbStore: a transaction", () => {
  it.each([
    ["refuse", closing],
    ["lose", new DOMException("Connection is closing.", "AbortError")],
    ["strand", closing],
  ] as const)(
    "whose connection was lost (%s) is made again on a new one, with a new program, up to three times",
    async (fault, error) => {
      const name = freshName();
      const store = new IndexedDbStore({ name });
      await store.transact(increment);
      const asked = failTransactions(2, fault, error);
      const start = vi.fn(increment);
      expect(await store.transact(start)).toBe(2);
      expect([asked(), start.mock.calls.length]).toEqual([3, 3]);
      await store.close();
    },
  );

  it("that is lost three times fails, undone, with the engine's error as cause; the next one works", async () => {
    const name = freshName();
    const store = new IndexedDbStore({ name });
    const asked = failTransactions(3, "refuse", lost);
    await expect(store.transact(increment)).rejects.toMatchObject({ code: "storage_unavailable", cause: lost });
    expect(asked()).toBe(3);
    expect(await store.transact(increment)).toBe(1);
    await store.close();
  });

  it("of which nobody knows whether it was committed is not made again, lest its jobs be added twice", async () => {
    const store = new IndexedDbStore({ name: freshName() });
    const asked = failTransactions(1, "lose", lost);
    await expect(store.transact(increment)).rejects.toMatchObject({ code: "storage_unavailable", cause: lost });
    expect(asked()).toBe(1);
    await store.close();
  });

  it("whose program throws is not made again, whatever the error is called", async () => {
    const store = new IndexedDbStore({ name: freshName() });
    const start = vi.fn(function* () {
      yield* increment();
      throw closing;
    });
    await expect(store.transact(start)).rejects.toBe(closing);
    expect(start).toHaveBeenCalledTimes(1);
    expect(await store.transact(count)).toBe(0);
    await store.close();
  });

  it("with a record that cannot be stored is undone", async () => {
    const store = new IndexedDbStore({ name: freshName() });
    const run = store.transact(function* () {
      yield* increment();
      yield { op: "put", collection: "cells", records: [{ key: ["a", "b"], value: { paused: (() => {}) as never } }] };
    });
    await expect(run).rejects.toMatchObject({ code: "storage_unavailable", cause: { name: "DataCloneError" } });
    expect(await store.transact(count)).toBe(0);
    await store.close();
  });
});
