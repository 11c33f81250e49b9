import type { RoutedJob } from "@quayside/core";
import { type NewJob, storeOfId } from "@quayside/core/engine";
import { type ShardedDriverOptions, shardOfKey } from "@quayside/edge";
import { ShardedDriver } from "@quayside/edge/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { fakeShards } from "./fake-shards.ts";

const job = (more: Partial<NewJob> = {}): NewJob => ({ queue: "mail", name: "email", payload: "null", ...more });
const customers = Array.from({ length: 20_000 }, (_, n) => `customer-${n}`);

describe("the shard of a key", () => {
  it("is fixed for good", () => {
    const found = ["", "a", "customer-1", "Übung", "😀", "x".repeat(256)].map((key) =>
      [1, 2, 4, 10, 64, 1_000].map((count) => shardOfKey(key, count)),
    );
    expect(found).toEqual([
      [0, 1, 1, 4, 42, 156],
      [0, 1, 1, 1, 1, 1],
      [0, 1, 3, 3, 35, 772],
      [0, 1, 3, 6, 36, 341],
      [0, 0, 0, 0, 34, 594],
      [0, 1, 1, 1, 11, 573],
    ]);
  });

  it("is any of them, about as often", () => {
    for (const count of [2, 4, 7, 64, 500]) {
      const sizes = new Array<number>(count).fill(0);
      for (const key of customers) sizes[shardOfKey(key, count)] = (sizes[shardOfKey(key, count)] as number) + 1;
      const even = customers.length / count;
      // Five standard deviations of an even spread.
      for (const size of sizes) expect(Math.abs(size - even), `of ${count}`).toBeLessThan(5 * Math.sqrt(even));
    }
  });

  it("stays when shards are added, or is one of those that were added", () => {
    for (const [few, many] of [
      [1, 4],
      [2, 4],
      [4, 5],
      [10, 64],
    ] as const) {
      const moved = customers.filter((key) => shardOfKey(key, few) !== shardOfKey(key, many));
      for (const key of moved) expect(shardOfKey(key, many)).toBeGreaterThanOrEqual(few);
      const expected = (customers.length * (many - few)) / many;
      expect(Math.abs(moved.length - expected), `${few} to ${many}`).toBeLessThan(5 * Math.sqrt(expected));
    }
  });
});

describe("where jobs are added", () => {
  const open = (shards: ShardedDriverOptions["shards"] = 4) => {
    const fake = fakeShards();
    return { ...fake, driver: new ShardedDriver(fake.open, { shards, clock: createManualClock(), random: () => 0 }) };
  };
  /** The shards to which the jobs of one call went, in the order of the jobs. */
  const placesOf = async (jobs: readonly NewJob[], shards?: ShardedDriverOptions["shards"]) => {
    const { driver } = open(shards);
    return (await driver.enqueue(jobs)).map(({ id }) => Number(id.split("/")[0]));
  };

  it("a dedupe key, a group or an id says where; all keys of one text say the same", async () => {
    const home = shardOfKey("ada", 4);
    const keyed = [
      job({ dedupe: { key: "ada", mode: "drop" } }),
      job({ group: { key: "ada" } }),
      job({ id: "ada" }),
      job({ id: "anything", group: { key: "ada" } }),
      job({ id: "other", dedupe: { key: "ada", mode: "drop" }, group: { key: "ada" } }),
    ];
    for (const one of keyed) expect(await placesOf([one])).toEqual([home]);
  });

  it("jobs without a key stay together in one call, and calls take turns", async () => {
    const { driver, sent } = open();
    for (let call = 0; call < 8; call++) await driver.enqueue([job(), job(), job()]);
    expect(sent.map(({ shard, ask }) => [shard, (ask as { jobs: unknown[] }).jobs.length])).toEqual(
      [1, 2, 3, 0, 1, 2, 3, 0].map((shard) => [shard, 3]),
    );
  });

  it("jobs without a key go along with those that have one, so that the call is one", async () => {
    const home = shardOfKey("g", 4);
    expect(await placesOf([job(), job({ group: { key: "g" } }), job()])).toEqual([home, home, home]);
  });

  it("a flow lies where its keys say, or the id of its root, as a whole", async () => {
    const root = job({ id: "report", flow: { ref: "top" } });
    const child = (more: Partial<NewJob> = {}) => job({ flow: { parentRef: "top" }, ...more });
    expect(new Set(await placesOf([root, child(), child({ id: "part" })]))).toEqual(new Set([shardOfKey("report", 4)]));
    expect(new Set(await placesOf([child({ group: { key: "g" } }), root, child({ group: { key: "g" } })]))).toEqual(
      new Set([shardOfKey("g", 4)]),
    );
  });

  it("keys that may belong in two shards are refused, and nothing is sent", async () => {
    const flow = (key: string) => job({ flow: { parentRef: "top" }, group: { key } });
    for (const jobs of [
      [job({ dedupe: { key: "k", mode: "drop" }, group: { key: "g" } })],
      [job({ id: "k 7", dedupe: { key: "k", mode: "drop" }, group: { key: "g" } })],
      [job({ id: "k 12345678", dedupe: { key: "k", mode: "drop" }, group: { key: "g" } })],
      [job({ flow: { ref: "top" } }), flow("a"), flow("b")],
      [job(), job({ id: "twice", group: { key: "a" } }), job({ id: "twice", group: { key: "b" } })],
    ]) {
      const { driver, sent } = open();
      await expect(driver.enqueue(jobs)).rejects.toMatchObject({
        code: "invalid_option",
        message: expect.stringContaining("may belong in two shards"),
      });
      expect(sent).toEqual([]);
    }
  });

  it("keyOf goes before all of it", async () => {
    const keyOf = ({ tags }: RoutedJob) => tags?.[0];
    const mixed = job({ id: "own", tags: ["ada"], dedupe: { key: "k", mode: "drop" }, group: { key: "g" } });
    expect(await placesOf([mixed], { count: 4, keyOf })).toEqual([shardOfKey("ada", 4)]);
    expect(await placesOf([job({ group: { key: "g" } })], { count: 4, keyOf })).toEqual([shardOfKey("g", 4)]);
    const { driver } = open({ count: 4, keyOf: () => "\ud800" });
    await expect(driver.enqueue([job()])).rejects.toMatchObject({ code: "invalid_option" });
  });

  it("a bad job anywhere in the call is refused before anything is stored", async () => {
    const { driver, sent } = open();
    await expect(driver.enqueue([job({ id: "good" }), job({ group: { key: "" } })])).rejects.toMatchObject({
      code: "invalid_option",
    });
    await expect(driver.enqueue([job({ id: "good" }), job({ flow: { parentRef: "nobody" } })])).rejects.toMatchObject({
      code: "invalid_option",
    });
    expect(sent).toEqual([]);
  });

  it("where a shard fails, the error says which jobs are stored in the others", async () => {
    const { driver, fail } = open();
    const ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const homes = ids.map((id) => shardOfKey(id, 4));
    const broken = homes[0] as number;
    expect(new Set(homes).size).toBeGreaterThan(1);
    fail(broken);
    const stored = [...ids.keys()].filter((at) => homes[at] !== broken);
    await expect(driver.enqueue(ids.map((id) => job({ id })))).rejects.toMatchObject({
      code: "network",
      message: expect.stringContaining(`${stored.length} are stored`),
      details: { stored },
    });
  });

  it("shards that cannot be are refused by name", () => {
    for (const [shards, option] of [
      [0, "shards"],
      [1.5, "shards"],
      [1_001, "shards"],
      [{ count: 4, previous: 0 }, "shards.previous"],
      [{ count: 4, keyOf: "tag" as never }, "shards.keyOf"],
    ] as const)
      expect(() => open(shards)).toThrow(expect.objectContaining({ code: "invalid_option", details: { option } }));
  });

  it("an id that was not generated names no shard", () => {
    for (const id of ["own", "2s-mjuohs00-htgoopog00-abc", "2s-mjuohs00-htgoopog00-abcdefgh0", ""])
      expect(storeOfId(id)).toBeUndefined();
    expect(storeOfId("2s-mjuohs00-htgoopog00-abcdefgh")).toBe(0);
    expect(storeOfId("2s-mjuohs00-htgoopog00-abcdefgh3")).toBe(3);
    expect(storeOfId("2s-mjuohs00-htgoopog00-abcdefghrr")).toBe(999);
  });
});
