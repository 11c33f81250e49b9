import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, expect, it, vi } from "vitest";
import type { SmokeObject } from "./worker.ts";

afterEach(reset);

const object = () => env.SMOKE.getByName("a");

it("edge tests run in workerd", () => {
  expect(navigator.userAgent).toBe("Cloudflare-Workers");
});

it("a Durable Object writes to SQLite, one row an insert", async () => {
  expect(await object().add("1", "hello")).toEqual({ rowsWritten: 1 });
  expect(await object().notes()).toEqual(["hello"]);
});

it("reset() leaves nothing from the test before", async () => {
  expect(await object().notes()).toEqual([]);
});

it("rows survive an eviction", async () => {
  await object().add("1", "hello");
  await evictDurableObject(object());
  expect(await object().notes()).toEqual(["hello"]);
});

it("a test can look inside an object", async () => {
  await object().add("1", "hello");
  const size = await runInDurableObject(object(), (_instance: SmokeObject, state) => state.storage.sql.databaseSize);
  expect(size).toBeGreaterThan(0);
});

it("runDurableObjectAlarm runs an armed alarm at once", async () => {
  await object().alarmIn(3_600_000);
  expect(await runDurableObjectAlarm(object())).toBe(true);
  expect(await object().notes()).toEqual(["alarm ran"]);
  expect(await runDurableObjectAlarm(object())).toBe(false);
});

it("a real alarm fires by itself", async () => {
  await object().alarmIn(20);
  await vi.waitFor(async () => expect(await object().notes()).toEqual(["alarm ran"]), { timeout: 5_000 });
});

it("the Worker of wrangler.jsonc answers", async () => {
  const response = await exports.default.fetch("https://edge.test/");
  expect(await response.text()).toBe("ok");
});
