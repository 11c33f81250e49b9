import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { everything } from "@quayside/core";
import { afterEach, inject } from "vitest";
import { emptyHouse } from "../support/empty-house.ts";
import { driversInObject } from "./in-object.ts";
import { runner } from "./runner.ts";

afterEach(reset);

emptyHouse(runner, driversInObject(env.SMOKE, everything), { count: inject("hostile").nightly ? 10_000 : 300 });
