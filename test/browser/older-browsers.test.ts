import { indexedDbDriver } from "@quayside/browser";
import { Queue } from "@quayside/core";
import { expect, it } from "vitest";
import { drop, freshName } from "./support/databases.ts";

/** Functions that browsers of the table in README.md may lack, or that pages replace. */
it.each<[name: string, remove: () => () => void]>([
  ["Promise.withResolvers", () => without(Promise, "withResolvers")],
  ["AbortSignal.any", () => without(AbortSignal, "any")],
  ["Promise.try", () => without(Promise, "try")],
  ["Array.fromAsync", () => without(Array, "fromAsync")],
  ["scheduler", () => without(globalThis, "scheduler")],
  ["IDBObjectStore.getAllRecords", () => without(IDBObjectStore.prototype, "getAllRecords")],
  ["requestIdleCallback", () => without(globalThis, "requestIdleCallback")],
  ["navigator.storage", () => without(Navigator.prototype, "storage")],
  ["BroadcastChannel", () => without(globalThis, "BroadcastChannel")],
])("adds, runs and waits for jobs in a browser without %s", async (_, remove) => {
  const restore = remove();
  const name = freshName();
  const driver = indexedDbDriver({ name });
  try {
    const queue = new Queue<{ double: number }>("mail", driver);
    queue.on("job:double", (n) => n * 2);
    const ids = await Promise.all([queue.addJob("double", 2), queue.addJob("double", 3)]);
    await queue.run();
    expect(await Promise.all(ids.map((id) => queue.waitFor(id)))).toEqual([4, 6]);
    await queue.stop();
  } finally {
    restore();
    await driver.close();
    await drop(name);
  }
});

/** Takes a property away. Returns the function that puts it back. */
function without(owner: object, name: string): () => void {
  const before = Object.getOwnPropertyDescriptor(owner, name);
  Object.defineProperty(owner, name, { value: undefined, configurable: true, writable: true });
  return () => {
    if (before) Object.defineProperty(owner, name, before);
    else Reflect.deleteProperty(owner, name);
  };
}
