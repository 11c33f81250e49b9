import { type JobRecord, Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createTestHarness } from "wrangler";
import { jobs } from "../edge/bridge-jobs.ts";

const server = createTestHarness({
  workers: [{ configPath: "../edge/wrangler.bridges.jsonc" }, { configPath: "../edge/wrangler.compute.jsonc" }],
  root: import.meta.dirname,
});
let base = "";
const queues: Record<string, Queue<typeof jobs>> = {};

beforeAll(async () => {
  base = (await server.listen()).url.href.replace(/\/$/, "");
  const driver = httpDriver({ url: `${base}/api`, token: "token-all" });
  for (const name of ["mail", "cron", "compute"]) queues[name] = new Queue<typeof jobs>(name, driver, { jobs });
});
afterAll(async () => {
  await queues["mail"]?.driver.close();
  await server.close();
});

const queue = (name: string) => queues[name] as Queue<typeof jobs>;
const ended = async (of: Queue<typeof jobs>, id: string): Promise<JobRecord> => {
  await of.waitFor(id, { timeout: "20s" }).catch(() => {});
  return (await of.get(id)) as JobRecord;
};
const asked = async <T>(path: string) => (await (await fetch(`${base}${path}`)).json()) as T;

describe("a Cloudflare queue that feeds an edge queue", () => {
  const inbox = () => asked<{ readonly dead: string[]; readonly deliveries: Record<string, number> }>("/inbox");
  const send = (notes: readonly { readonly to: string; readonly lost?: boolean }[]) =>
    fetch(`${base}/inbox`, { method: "POST", body: JSON.stringify(notes) });
  const completed = async () => (await queue("mail").list({ state: "completed", limit: 1_000 })).jobs;

  it("has each message worked once, also one whose acknowledgement is lost and that is delivered again", async () => {
    await send([
      ...Array.from({ length: 20 }, (_, n) => ({ to: `reader-${n}@example.com` })),
      { to: "lost@example.com", lost: true },
    ]);
    await vi.waitFor(async () => expect((await inbox()).deliveries["lost@example.com"]).toBe(2), { timeout: 20_000 });
    await vi.waitFor(async () => expect(await completed()).toHaveLength(21), { timeout: 20_000 });
    expect(await queue("mail").size()).toBe(0);
    const readers = new Set((await completed()).map(({ result }) => result));
    expect(readers.size).toBe(21);
    expect((await inbox()).deliveries["reader-0@example.com"]).toBe(1);
  });

  it("moves a message that is no job to its dead letter queue, after the deliveries that it allows", async () => {
    await send([{ to: "nobody" }, { to: "somebody@example.com" }]);
    await vi.waitFor(async () => expect((await inbox()).dead).toEqual(["nobody"]), { timeout: 20_000 });
    expect((await inbox()).deliveries["nobody"]).toBe(3);
    await vi.waitFor(async () =>
      expect((await completed()).map(({ result }) => result)).toContain("somebody@example.com"),
    );
  });
});

describe("a cron trigger that feeds an edge queue", () => {
  it("adds its job once when it fires twice for one instant, and again for another", async () => {
    const worker = server.getWorker();
    const at = new Date(Date.UTC(2026, 0, 1, 3));
    const cron = "0 3 * * *";
    expect(await worker.scheduled({ cron, scheduledTime: at })).toMatchObject({ outcome: "ok" });
    const [first] = (await queue("cron").list()).jobs;
    const id = first?.id as string;
    expect(id).toContain(`cron ${cron} ${at.toISOString()} mail `);
    expect(await ended(queue("cron"), id)).toMatchObject({ state: "completed", result: "nightly@example.com" });
    await worker.scheduled({ cron, scheduledTime: at });
    await worker.scheduled({ cron, scheduledTime: new Date(at.getTime() + 86_400_000) });
    const { jobs: added } = await queue("cron").list();
    expect(added).toHaveLength(2);
    const other = added.find((job) => job.id !== id);
    expect(other?.id).toContain(`cron ${cron} 2026-01-02T03:00:00.000Z mail `);
  });
});

describe("jobs dispatched to another Worker, of an older date", () => {
  const told = () => asked<string[]>("/compute");

  it("run there, with progress and logs, and by the rules of errors", async () => {
    const job = await ended(queue("compute"), await queue("compute").addJob("compute", { how: "square", n: 12 }));
    expect(job).toMatchObject({ state: "completed", result: 144, progress: 0.5, logs: ["squaring 12"] });
    expect(await ended(queue("compute"), await queue("compute").addJob("compute", { how: "never" }))).toMatchObject({
      state: "failed",
      attempts: 1,
      error: { code: "unrecoverable", message: "cannot be computed" },
    });
  });

  it("learn there of their cancellation and their timeout", async () => {
    const cancelled = await queue("compute").addJob("compute", { how: "wait" });
    await vi.waitFor(async () => expect(await told()).toContain(`${cancelled} waits`), { timeout: 10_000 });
    await queue("compute").cancel(cancelled);
    expect(await ended(queue("compute"), cancelled)).toMatchObject({ state: "cancelled" });
    await vi.waitFor(async () => expect(await told()).toContain(`${cancelled} aborted: cancelled`));
    const late = await queue("compute").addJob("compute", { how: "wait" }, { timeout: 100, maxAttempts: 1 });
    expect(await ended(queue("compute"), late)).toMatchObject({ state: "failed", error: { code: "timeout" } });
    expect(await told()).toContain(`${late} aborted: timeout`);
  });

  it("are tried again when their consumer's invocation ends in the middle", async () => {
    const id = await queue("compute").addJob("compute", { how: "die" });
    expect(await ended(queue("compute"), id)).toMatchObject({
      state: "completed",
      attempts: 2,
      error: { code: "network", message: expect.stringContaining("ended without an answer") },
    });
  });
});
