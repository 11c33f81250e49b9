import { MemoryStore } from "@quayside/core";
import { storeConformance } from "@quayside/core/testing";
import { describe, expect, it } from "vitest";

describe("MemoryStore", () => {
  storeConformance({ describe, it, expect }, async () => {
    const store = new MemoryStore();
    return { store, another: async () => store, close: () => store.close() };
  });

  it("tells its watchers what is announced, until they stop", async () => {
    const store = new MemoryStore();
    const heard: unknown[] = [];
    const stop = store.watch((changes) => heard.push(...changes));
    store.announce([{ queue: "mail", kind: "ready" }]);
    stop();
    store.announce([{ queue: "mail", kind: "ended" }]);
    expect(heard).toEqual([{ queue: "mail", kind: "ready" }]);
  });
});
