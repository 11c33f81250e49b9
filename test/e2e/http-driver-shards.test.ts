import { driverConformance, workerConformance } from "@quayside/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestHarness } from "wrangler";
import { REFUSED, shardedRunners, WITHIN_ONE_SHARD } from "../edge/shard-cases.ts";
import { sampled } from "../support/sampled.ts";
import { openIn, WITHIN_ONE_STORE } from "./support/http-space.ts";

const server = createTestHarness({
  workers: [{ configPath: "../edge/wrangler.http.jsonc" }],
  root: import.meta.dirname,
});
let base = "";

beforeAll(async () => {
  base = (await server.listen()).url.href.replace(/\/$/, "");
});
afterAll(() => server.close());

const openSplit = openIn(() => base, "split");
const openKeyed = openIn(() => base, "keyed");

/** More than the API takes at once: the calls of which they are made go to several shards. */
const MANY_AT_ONCE = "R4: thousands of jobs added at the same instant keep their order and their delays";
// All cases run over HTTP on one object, and over RPC with four shards.
const runner = sampled({ describe, expect, it: (name, run) => void it(name, run) }, 5);
const runners = shardedRunners(runner, [...WITHIN_ONE_STORE, MANY_AT_ONCE]);

describe("HttpDriver with shards: 4, over real HTTP", () => {
  const cases = driverConformance(runners.overAll, openSplit);
  const elsewhere = [
    ...Object.values(WITHIN_ONE_SHARD),
    ...Object.values(REFUSED),
    WITHIN_ONE_STORE,
    MANY_AT_ONCE,
  ].flat();
  console.info(
    `driver conformance over HTTP with shards: 4: ${cases} cases (all in the nightly run, each fifth in the check), of which (with the worker's) ${elsewhere.length} do not hold over shards`,
  );
  workerConformance(runners.overAll, openSplit);
});

describe("HttpDriver with shards: 4, all jobs of one key", () => {
  driverConformance(runners.ofOneKey, openKeyed);
  workerConformance(runners.ofOneKey, openKeyed);
});
