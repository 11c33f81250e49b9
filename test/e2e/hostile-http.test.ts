import { afterAll, beforeAll, describe } from "vitest";
import { createTestHarness } from "wrangler";
import { CLOCKS } from "../hostile/properties.ts";
import { hostileSuite } from "../hostile/suite.ts";
import { openIn } from "./support/http-space.ts";

const server = createTestHarness({
  workers: [{ configPath: "../edge/wrangler.http.jsonc" }],
  root: import.meta.dirname,
});
let base = "";

beforeAll(async () => {
  base = (await server.listen()).url.href.replace(/\/$/, "");
});
afterAll(() => server.close());

describe("hostile input over HTTP", () => {
  hostileSuite(
    { check: 100, nightly: 1_000, without: CLOCKS },
    openIn(() => base, "whole"),
  );
});
