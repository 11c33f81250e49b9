import { openDB } from "idb";
import { afterEach, expect, it } from "vitest";
import { server } from "vitest/browser";

const name = "smoke";
afterEach(() => {
  indexedDB.deleteDatabase(name);
});

/** Chromium's claims to be WebKit as well. */
const USER_AGENTS: Readonly<Record<string, RegExp>> = {
  chromium: /Chrome\//,
  firefox: /Gecko\/.* Firefox\//,
  webkit: /AppleWebKit\/(?!.*Chrome)/,
};

it("browser tests run in a real browser of the engine that they name, with IndexedDB", async () => {
  expect(navigator.userAgent).toMatch(USER_AGENTS[server.browser] as RegExp);
  const database = await openDB(name, 1, { upgrade: (upgraded) => void upgraded.createObjectStore("notes") });
  await database.put("notes", "hello", ["a", 1]);
  expect(await database.getAll("notes")).toEqual(["hello"]);
  database.close();
});

it("browser tests have Web Locks and BroadcastChannel", async () => {
  expect(await navigator.locks.request("smoke", () => "held")).toBe("held");
  expect(BroadcastChannel).toBeTypeOf("function");
});
