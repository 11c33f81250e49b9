import { describe, expect, inject, it } from "vitest";
import { emptyHouse } from "../support/empty-house.ts";
import { openWith } from "./support/open-driver.ts";

emptyHouse({ describe, expect, it }, openWith({}), { count: inject("hostile").nightly ? 1_000 : 300 });
