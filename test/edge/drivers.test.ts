import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { everything } from "@quayside/core";
import { queueStub, StubDriver } from "@quayside/edge";
import { SqlStore } from "@quayside/edge/engine";
import { createManualClock, driverConformance, type OpenDriver, workerConformance } from "@quayside/testing";
import { afterEach, describe } from "vitest";
import { sampled } from "../support/sampled.ts";
import { driversInObject } from "./in-object.ts";
import { runner } from "./runner.ts";

afterEach(reset);

let opened = 0;

describe("StoreDriver on a SqlStore", () => {
  const open = driversInObject(env.SMOKE, everything);
  const cases = driverConformance(runner, open);
  console.info(`driver conformance on a Durable Object's store: ${cases} cases`);
  workerConformance(runner, open);
});

describe("StubDriver, over RPC", () => {
  const open: OpenDriver = async () => {
    const name = `queue-${opened++}`;
    const object = env.BARE_QUEUE.getByName(name);
    const clock = createManualClock();
    const drivers: StubDriver[] = [];
    const another = async () => {
      const driver = new StubDriver(() => queueStub(env.BARE_QUEUE, name), { clock });
      driver.follow("mail");
      drivers.push(driver);
      return driver;
    };
    return {
      driver: await another(),
      another,
      clock,
      advance: async (ms) => {
        await object.advance(ms);
        await clock.advance(ms);
      },
      jump: async (ms) => {
        await object.jump(ms);
        clock.jump(ms);
      },
      transact: (start) => runInDurableObject(object, (_, state) => new SqlStore(state.storage).transact(start)),
      close: async () => {
        for (const driver of drivers) await driver.close();
      },
    };
  };
  // Every third case: the check runs all of them on the object's store, above, and over HTTP.
  const some = sampled(runner, 3);
  const cases = driverConformance(some, open);
  console.info(`driver conformance over RPC: ${cases} cases, every third in the check`);
  workerConformance(some, open);
});
