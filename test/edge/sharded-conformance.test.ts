import { reset } from "cloudflare:test";
import { driverConformance, workerConformance } from "@quayside/testing";
import { afterEach, describe, expect, it } from "vitest";
import { sampled } from "../support/sampled.ts";
import { runner } from "./runner.ts";
import { REFUSED, shardedRunners, WITHIN_ONE_SHARD } from "./shard-cases.ts";
import { openSharded } from "./sharded-drivers.ts";

afterEach(reset);

/** Every fourth case: the check runs all of them on one object, nightly on shards, too. */
const runners = shardedRunners(sampled(runner, 4));

describe("StubDriver with shards: 4, over RPC", () => {
  const cases = driverConformance(runners.overAll, () => openSharded(4));
  const refused = Object.values(REFUSED).flat().length;
  const within = Object.values(WITHIN_ONE_SHARD).flat().length;
  console.info(
    `driver conformance over RPC with shards: 4: ${cases} cases, of which (with the worker's) ${within} hold within a ` +
      `shard only and ${refused} are about what is refused`,
  );
  workerConformance(runners.overAll, () => openSharded(4));
});

describe("StubDriver with shards: 4, all jobs of one key", () => {
  const open = () => openSharded({ count: 4, keyOf: () => "one" });
  driverConformance(runners.ofOneKey, open);
  workerConformance(runners.ofOneKey, open);
});

it("each case that is named as not holding over shards exists", () => {
  expect(runners.missing()).toEqual([]);
});
