import { deleteDatabase, IndexedDbStore, indexedDbDriver, requestPersistence, storageHealth } from "@quayside/browser";
import { afterEach, describe, expect, it, vi } from "vitest";
import { exists, freshName } from "./support/databases.ts";
import { count, increment } from "./support/programs.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

/** Only Chromium does. */
const tellsLoss = "dataLoss" in IDBVersionChangeEvent.prototype;
/** WebKitGTK has none. */
const manager: StorageManager | undefined = navigator.storage;

describe("storageHealth", () => {
  it("tells what this browser tells: whether it can store, keeps it, and how much", async () => {
    const health = await storageHealth();
    expect(health).toMatchObject({ available: true, mode: "unknown" });
    if (manager) {
      expect(typeof health.persisted).toBe("boolean");
      expect(health.quota).toBeGreaterThan(0);
      expect(health.usage).toBeGreaterThanOrEqual(0);
    } else expect(health).toMatchObject({ persisted: undefined, quota: undefined, usage: undefined });
    // Other tests may be asking at this moment.
    await vi.waitFor(async () => {
      const names = (await indexedDB.databases()).map(({ name }) => name);
      expect(names).not.toContain("quayside-probe");
    });
  });

  it.runIf(manager)("says undefined where the engine has no answer, or refuses it", async () => {
    vi.spyOn(navigator, "storage", "get").mockReturnValue(undefined as never);
    expect(await storageHealth()).toEqual({
      available: true,
      persisted: undefined,
      quota: undefined,
      usage: undefined,
      mode: "unknown",
    });
    vi.restoreAllMocks();
    const refusal = new TypeError("no");
    vi.spyOn(navigator.storage, "persisted").mockRejectedValue(refusal);
    vi.spyOn(navigator.storage, "estimate").mockRejectedValue(refusal);
    expect(await storageHealth()).toMatchObject({ available: true, persisted: undefined, quota: undefined });
  });

  it("says so where databases cannot be opened", async () => {
    vi.spyOn(window, "indexedDB", "get").mockReturnValue(undefined as never);
    expect((await storageHealth()).available).toBe(false);
  });

  it.runIf(manager)("tells a private window where the engine gives it away", async () => {
    vi.spyOn(navigator.storage, "getDirectory").mockRejectedValue(new DOMException("no", "SecurityError"));
    expect((await storageHealth()).mode).toBe("private");
  });
});

describe("requestPersistence", () => {
  it.runIf(manager)("answers what the browser granted, and asks no second time", async () => {
    const persist = vi.spyOn(navigator.storage, "persist").mockResolvedValue(true);
    const persisted = vi.spyOn(navigator.storage, "persisted").mockResolvedValue(false);
    expect(await requestPersistence()).toBe(true);
    persisted.mockResolvedValue(true);
    expect(await requestPersistence()).toBe(true);
    expect(persist).toHaveBeenCalledTimes(1);
  });

  it.runIf(manager)("is a no where it is refused, or where there is nobody to ask", async () => {
    vi.spyOn(navigator.storage, "persisted").mockResolvedValue(false);
    vi.spyOn(navigator.storage, "persist").mockRejectedValue(new TypeError("no"));
    expect(await requestPersistence()).toBe(false);
    vi.spyOn(navigator, "storage", "get").mockReturnValue(undefined as never);
    expect(await requestPersistence()).toBe(false);
  });
});

describe("deleteDatabase", () => {
  it("is a way on: drivers in use say that it is gone, a new one begins anew", async () => {
    const name = freshName();
    const old = indexedDbDriver({ name });
    await old.enqueue([{ queue: "mail", name: "email", payload: "1" }]);
    await deleteDatabase(name);
    expect(await exists(name)).toBe(false);
    await expect(old.counts("mail")).rejects.toMatchObject({
      code: "storage_unavailable",
      details: { reason: "deleted" },
    });
    await old.close();
    const next = indexedDbDriver({ name });
    expect(await next.counts("mail")).toMatchObject({ waiting: 0 });
    await next.enqueue([{ queue: "mail", name: "email", payload: "2" }]);
    expect(await next.counts("mail")).toMatchObject({ waiting: 1 });
    await next.close();
  });

  it("is done where there is none, and fails with a code where the engine does", async () => {
    await deleteDatabase(freshName());
    vi.spyOn(window, "indexedDB", "get").mockReturnValue(undefined as never);
    await expect(deleteDatabase(freshName())).rejects.toMatchObject({ code: "storage_unavailable" });
    expect(() => deleteDatabase("")).toThrow(expect.objectContaining({ code: "invalid_option" }));
  });
});

describe("a database that the browser threw away because it was damaged", () => {
  it.runIf(tellsLoss)("is told once, as damaged, and then begun anew", async () => {
    const name = freshName();
    const store = new IndexedDbStore({ name });
    // As Chromium marks the upgrade of such a database.
    const loss = vi.spyOn(IDBVersionChangeEvent.prototype as never, "dataLoss" as never, "get" as never);
    loss.mockReturnValue("total" as never);
    await expect(store.transact(increment)).rejects.toMatchObject({
      code: "storage_unavailable",
      details: { reason: "damaged" },
    });
    loss.mockReturnValue("none" as never);
    expect(await store.transact(increment)).toBe(1);
    expect(await store.transact(count)).toBe(1);
    await store.close();
  });
});
