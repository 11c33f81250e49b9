import { Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestHarness } from "wrangler";

const server = createTestHarness({
  workers: [{ configPath: "../../templates/worker/wrangler.jsonc", secrets: { QUEUE_TOKEN: "a-secret" } }],
  root: import.meta.dirname,
});
let url = "";
let mail: Queue;

beforeAll(async () => {
  url = new URL("/api/queues", (await server.listen()).url).href;
  mail = new Queue("mail", httpDriver({ url, token: "a-secret" }));
});
afterAll(async () => {
  await mail?.driver.close();
  await server.close();
});

describe("the template of a Worker", () => {
  it("runs a job that comes over HTTP with its token, and takes none without", async () => {
    const payload = { to: "ada@example.com", subject: "Hi", body: "Hello" };
    const id = await mail.addJob("email", payload);
    expect(await mail.waitFor(id, { timeout: "20s" })).toEqual({ to: "ada@example.com" });
    for (const token of [undefined, "dev-token"]) {
      const stranger = new Queue("mail", httpDriver({ url, ...(token && { token }) }));
      await expect(stranger.addJob("email", payload)).rejects.toMatchObject({ code: "unauthorized" });
    }
    await expect(mail.addJob("email", { to: "nobody" })).rejects.toMatchObject({ code: "invalid_payload" });
    const elsewhere = new Queue("anything", mail.driver);
    await expect(elsewhere.addJob("email", payload)).rejects.toMatchObject({ code: "forbidden" });
  });

  it("sends a digest a day, once, when its trigger fires", async () => {
    const at = { cron: "0 6 * * *", scheduledTime: new Date(Date.UTC(2026, 0, 2, 6)) };
    for (let times = 0; times < 2; times++) {
      expect(await server.getWorker().scheduled(at)).toMatchObject({ outcome: "ok" });
    }
    const digest = (await mail.list()).jobs.find(({ name }) => name === "digest");
    expect(digest?.id).toContain("cron 0 6 * * * 2026-01-02T06:00:00.000Z digest ");
    expect(await mail.waitFor(digest?.id as string, { timeout: "20s" })).toBe("digest-2026-01-02");
    expect(await mail.waitFor("digest-2026-01-02", { timeout: "20s" })).toEqual({ to: "ada@example.com" });
    expect((await mail.list({ state: "completed" })).jobs.filter(({ name }) => name === "digest")).toHaveLength(1);
  });
});
