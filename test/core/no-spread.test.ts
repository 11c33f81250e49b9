import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

const PACKAGES = join(import.meta.dirname, "../../packages");

/**
 * Calls that are given a list of bounded length as arguments: a page of a store, the shards of a queue, the queues of one
 * call. An engine takes some 100,000 arguments, then it throws a RangeError.
 */
const BOUNDED: readonly string[] = [
  "browser/src/live/live-values.ts: Math.min(...instants",
  "browser/src/outbox/fingerprint.ts: fingerprint(...texts",
  "browser/src/outbox/outbox-store.ts: push(...page",
  "browser/src/outbox/queue-forwarder.ts: fingerprint(...jobs",
  "browser/src/service-worker/background-drain.ts: Math.min(...dueAt",
  "browser/src/service-worker/remaining-work.ts: Math.min(...all",
  "core/src/engine/claim.ts: Math.max(...frees",
  "core/src/engine/claim.ts: Math.min(...limits",
  "core/src/queue/base64.ts: fromCharCode(...bytes",
  "core/src/drivers/http/http-driver.ts: Math.min(...wakes",
  "edge/src/object/durable-alarm.ts: Math.min(...instants",
  "core/src/drivers/places/exchange-parts.ts: Math.min(...wakes",
  "edge/src/shards/sharded-driver.ts: Math.min(...wakes",
];

/** A call whose argument is a list spread out. Not a rest parameter, which stands behind `function` or before a type. */
const SPREAD =
  /\b((?:Math\.(?:min|max)|push|unshift|splice|concat|fromCharCode|together|fingerprint)\((?:[^()]*, )?\.\.\.\w+)/g;

it("R32: no list of unknown length is spread into the arguments of a call", () => {
  const found: string[] = [];
  for (const name of ["core", "browser", "edge"]) {
    for (const file of readdirSync(join(PACKAGES, name, "src"), { recursive: true, encoding: "utf8" })) {
      if (!/\.tsx?$/.test(file)) continue;
      const text = readFileSync(join(PACKAGES, name, "src", file), "utf8");
      const code = text.replace(/^\s*(?:\*|\/\/).*$/gm, "");
      for (const [, call] of code.matchAll(SPREAD)) found.push(`${name}/src/${file.replaceAll("\\", "/")}: ${call}`);
    }
  }
  expect(found.filter((call) => !BOUNDED.includes(call))).toEqual([]);
});
