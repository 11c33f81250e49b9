import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Driver, ShardsOption } from "@quayside/core";
import type { Program } from "@quayside/core/engine";
import { queueStub, type ShardedDriver, StubDriver, shardedDriver } from "@quayside/edge";
import { SqlStore } from "@quayside/edge/engine";
import { createManualClock, type DriverUnderTest, seededRandom } from "@quayside/testing";

let opened = 0;

export interface Sharded extends DriverUnderTest {
  readonly name: string;
  /** Another driver, which knows the shards as they were, or as they will be. */
  as(shards: ShardsOption): ShardedDriver;
  /** One object by itself, as who knows of no shards sees it. */
  alone(shard: number): StubDriver;
}

/** A queue over real objects, each on a clock of its own that moves with the others. */
export async function openSharded(shards: ShardsOption, objects = 4): Promise<Sharded> {
  const name = `split-${opened++}`;
  const stubs = Array.from({ length: objects }, (_, shard) =>
    env.BARE_QUEUE.getByName(shard === 0 ? name : `${name}#${shard}`),
  );
  const clock = createManualClock();
  const drivers: Driver[] = [];
  const kept = <D extends Driver>(driver: D): D => {
    drivers.push(driver);
    return driver;
  };
  const as = (option: ShardsOption) =>
    kept(
      shardedDriver(env.BARE_QUEUE, name, {
        shards: option,
        clock,
        // The objects answer in real time, while the cases move this clock.
        patience: "30d",
        random: seededRandom(drivers.length + 1),
      }),
    );
  return {
    name,
    driver: as(shards),
    another: async () => {
      const driver = as(shards);
      // The queue of the cases, which is not named as its objects are: a driver tells at once of queues it was used for.
      await driver.get("mail", "none");
      return driver;
    },
    as,
    alone: (shard) => kept(new StubDriver(() => queueStub(env.BARE_QUEUE, name, shard), { clock })),
    clock,
    advance: async (ms) => {
      for (const object of stubs) await object.advance(ms);
      await clock.advance(ms);
    },
    jump: async (ms) => {
      for (const object of stubs) await object.jump(ms);
      clock.jump(ms);
    },
    transact: async <T>(start: () => Program<T>) => {
      const all: T[] = [];
      for (const object of stubs)
        all.push(await runInDurableObject(object, (_, state) => new SqlStore(state.storage).transact(start)));
      return all.reduce(joined);
    },
    close: async () => {
      for (const driver of drivers) await driver.close();
    },
  };
}

/** What programs found in two objects as if they were one: lists are put together, member by member. */
function joined<T>(one: T, other: T): T {
  if (Array.isArray(one)) return [...one, ...(other as T & unknown[])] as T;
  if (typeof one !== "object" || one === null) return one;
  return Object.fromEntries(
    Object.entries(one).map(([key, value]) => [key, joined(value, other[key as keyof T])]),
  ) as T;
}
