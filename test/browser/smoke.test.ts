import { openDB } from "idb";
import { afterEach, expect, it } from "vitest";

const name = "smoke";
afterEach(() => {
  indexedDB.deleteDatabase(name);
});

it("browser tests run in a real Chromium with IndexedDB", async () => {
  expect(navigator.userAgent).toContain("Chrome/");
  const database = await openDB(name, 1, { upgrade: (upgraded) => void upgraded.createObjectStore("notes") });
  await database.put("notes", "hello", ["a", 1]);
  expect(await database.getAll("notes")).toEqual(["hello"]);
  database.close();
});

it("browser tests have Web Locks and BroadcastChannel", async () => {
  expect(await navigator.locks.request("smoke", () => "held")).toBe("held");
  expect(BroadcastChannel).toBeTypeOf("function");
});
