import { MemoryStore } from "@quayside/core/engine";
import { storeConformance } from "@quayside/testing";
import { describe, expect, it } from "vitest";

describe("MemoryStore", () => {
  storeConformance({ describe, it, expect }, async () => {
    const store = new MemoryStore();
    return { store, another: async () => store.connect(), close: () => store.close() };
  });

  it("tells the other connections what is announced, until they stop", async () => {
    const store = new MemoryStore();
    const other = store.connect();
    const heard: unknown[] = [];
    const stop = store.watch((changes) => heard.push(...changes));
    other.announce([{ queue: "mail", kind: "ready" }]);
    store.announce([{ queue: "mail", kind: "active" }]);
    stop();
    other.announce([{ queue: "mail", kind: "ended" }]);
    expect(heard).toEqual([{ queue: "mail", kind: "ready" }]);
  });
});
