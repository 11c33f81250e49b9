import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JobRecord } from "@quayside/core";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { Runtime, type Workerd } from "./support/workerd.ts";

let folder: string;
let server: Workerd;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quayside-repeats-"));
  server = await (await Runtime.bundle("../../edge/wrangler.crash.jsonc", folder)).start();
});
afterAll(async () => {
  await server?.kill();
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
});

/** All objects are in one process, and in one thread of it: one that lets nobody in between keeps all of them waiting. */
const ask = (path: string, body?: object) =>
  fetch(`${server.url}/queues/${path}`, {
    method: body ? "POST" : "GET",
    headers: { authorization: "Bearer token", "content-type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(10_000),
  });

it("R40: a POST that adds a job that fails at once, to be retried a million times without a delay, is answered, and so is one to another queue meanwhile", async () => {
  const options = { maxAttempts: 1_000_000, backoff: 0 };
  const added = await ask("hot/jobs", { name: "hopeless", payload: { text: "hot" }, options });
  expect(added.status).toBe(201);
  const { id } = (await added.json()) as { readonly id: string };
  await server.line(/^ran hot attempt=3$/);
  const other = await ask("cool/jobs", { name: "note", payload: { text: "cool" } });
  expect(other.status).toBe(201);
  await server.line(/^ran cool attempt=1 /);
  // Ten retries at once, and then one after a second.
  await vi.waitFor(async () => {
    const job = (await (await ask(`hot/jobs/${id}`)).json()) as JobRecord;
    expect(job.state).toBe("delayed");
    expect(job.attempts).toBeLessThan(20);
  }, 10_000);
});
