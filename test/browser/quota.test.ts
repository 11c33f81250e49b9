import { IndexedDbStore } from "@quayside/browser";
import type { Operation } from "@quayside/core/engine";
import { afterEach, expect, it, vi } from "vitest";
import { buckets, hasBuckets } from "./support/buckets.ts";
import { freshName } from "./support/databases.ts";
import { failTransactions } from "./support/faults.ts";
import { count, increment } from "./support/programs.ts";

const BUCKET = "small";

afterEach(async () => {
  vi.restoreAllMocks();
  if (hasBuckets) await buckets.delete(BUCKET);
});

/** Ids of about 1 KiB each, which no compression makes smaller. */
const bulk = (kib: number): Operation => ({
  op: "put",
  collection: "ids",
  records: Array.from({ length: kib }, (_, index) => ({
    key: ["mail", `${index} ${Array.from({ length: 28 }, () => crypto.randomUUID()).join("")}`],
    at: ["ready", "mail", 0, 0, 0, "a"],
  })),
});

it.runIf(hasBuckets)(
  "a write beyond the quota fails as storage_full, undone as a whole, and what was there can still be read",
  async () => {
    const bucket = await buckets.open(BUCKET, { quota: 1_000_000 });
    vi.spyOn(window, "indexedDB", "get").mockReturnValue(bucket.indexedDB);
    const store = new IndexedDbStore({ name: freshName() });
    await store.transact(increment);
    const run = store.transact(function* () {
      yield* increment();
      yield bulk(4_000);
    });
    await expect(run).rejects.toMatchObject({ code: "storage_full", cause: { name: "QuotaExceededError" } });
    expect(await store.transact(count)).toBe(1);
    await store.close();
  },
);

it("a quota that is found exceeded at commit fails as storage_full too, and is not tried again", async () => {
  const store = new IndexedDbStore({ name: freshName() });
  const asked = failTransactions(1, "lose", new DOMException("Encountered full disk", "QuotaExceededError"));
  await expect(store.transact(increment)).rejects.toMatchObject({ code: "storage_full" });
  expect(asked()).toBe(1);
  expect(await store.transact(count)).toBe(0);
  await store.close();
});
