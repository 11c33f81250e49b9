import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const script = fileURLToPath(new URL("../../bench/journeys.mjs", import.meta.url));
/** Files that a reader opens to follow one call. Lower a limit when files are merged; never raise one. */
const LIMITS = { "addJob to the stored record": 22, "an exchange on the object": 51, "an HTTP POST": 55 };

describe("files that one call runs through", async () => {
  // `NODE_OPTIONS` of this project has the condition under which packages resolve to their sources.
  const { stdout } = await promisify(execFile)(process.execPath, [script, "--json"], { env: process.env });
  const journeys = JSON.parse(stdout) as Record<string, readonly string[]>;
  it.each(Object.entries(LIMITS))("%s: at most %i", (name, limit) => {
    const files = journeys[name] ?? [];
    expect(files.length, files.join("\n")).toBeGreaterThan(10);
    expect(files.length, files.join("\n")).toBeLessThanOrEqual(limit);
  });
});
