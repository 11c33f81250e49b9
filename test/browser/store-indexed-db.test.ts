import { IndexedDbStore, type IndexedDbStoreOptions } from "@quayside/browser";
import { storeConformance } from "@quayside/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { drop, freshName } from "./support/databases.ts";

const openWith = (options: Omit<IndexedDbStoreOptions, "name">) => async () => {
  const name = freshName();
  const opened: IndexedDbStore[] = [];
  const another = async () => {
    const store = new IndexedDbStore({ name, ...options });
    opened.push(store);
    return store;
  };
  return {
    store: await another(),
    another,
    close: async () => {
      await Promise.all(opened.map((store) => store.close()));
      await drop(name);
    },
  };
};

describe("IndexedDbStore", () => {
  storeConformance({ describe, it, expect }, openWith({}));
});

describe("IndexedDbStore, strict", () => {
  storeConformance({ describe, it, expect }, openWith({ durability: "strict" }));
});

const prototype = IDBObjectStore.prototype as { getAllRecords?: unknown };
const original = prototype.getAllRecords;

// An engine that cannot by itself has done all that already.
describe.runIf(original)("IndexedDbStore where the engine cannot read backwards in one request", () => {
  beforeEach(() => {
    delete prototype.getAllRecords;
  });
  afterEach(() => {
    prototype.getAllRecords = original;
  });
  storeConformance({ describe, it, expect }, openWith({}));
});
