// Apps as their authors would write them in a Worker: without a cast, a name said twice or a repeated type argument.
import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { defineJobs, defineQueue, Queue } from "@quayside/core";
import { cron } from "@quayside/core/cron";
import { durableQueue, StubDriver } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";

afterEach(reset);

describe("a Worker that sends signup mail and a nightly report", () => {
  const sent: string[] = [];
  const mail = defineQueue("mail", {
    jobs: defineJobs({
      welcome: { input: z.object({ to: z.email() }), output: z.object({ messageId: z.string() }), maxAttempts: 3 },
      report: { input: z.object({ kind: z.enum(["daily", "weekly"]) }), timeout: "5m" },
    }),
    schedules: {
      nightly: { cron: "0 3 * * *", timeZone: "Europe/Vienna", name: "report", payload: { kind: "daily" } },
    },
  });
  const MailQueue = durableQueue<Cloudflare.Env>()({
    queues: [mail],
    cron,
    handlers: {
      welcome: ({ to }, ctx) => {
        sent.push(to);
        return { messageId: `${ctx.id}@${ctx.env.SMOKE === env.SMOKE}` };
      },
      report: ({ kind }) => void sent.push(kind),
    },
  });

  it("answers the signup with the id, sends the mail, and has the report scheduled", async () => {
    await runInDurableObject(env.SMOKE.getByName("mail"), async (_, ctx) => {
      const object = new MailQueue(ctx, env);
      const queue = new Queue(mail, new StubDriver(() => object));
      const id = await queue.addJob("welcome", { to: "ada@example.com" });
      expect((await queue.waitFor(id)).messageId).toBe(`${id}@true`);
      expect(sent).toEqual(["ada@example.com"]);
      expect(await queue.schedules()).toMatchObject([{ key: "nightly", name: "report" }]);
      await expect(queue.addJob("welcome", { to: "nobody" })).rejects.toMatchObject({ code: "invalid_payload" });
    });
  });
});

describe("tenants with limits", () => {
  const work = defineQueue("tenants", {
    jobs: defineJobs({ export: { input: z.object({ tenant: z.string() }) } }),
    maxActive: 3,
  });

  it("one busy tenant does not keep the others waiting", async () => {
    const running = new Map<string, number>();
    const most = new Map<string, number>();
    let finish = () => {};
    const held = new Promise<void>((resolve) => (finish = resolve));
    const Work = durableQueue<Cloudflare.Env>()({
      queues: [work],
      handlers: {
        export: async ({ tenant }) => {
          running.set(tenant, (running.get(tenant) ?? 0) + 1);
          most.set(tenant, Math.max(most.get(tenant) ?? 0, running.get(tenant) ?? 0));
          await held;
          running.set(tenant, (running.get(tenant) ?? 0) - 1);
        },
      },
    });
    await runInDurableObject(env.SMOKE.getByName("tenants"), async (_, ctx) => {
      const object = new Work(ctx, env);
      const queue = new Queue(work, new StubDriver(() => object));
      const add = (tenant: string) => queue.addJob("export", { tenant }, { group: { key: tenant, limit: 2 } });
      for (let n = 0; n < 5; n++) await add("busy");
      await add("small");
      await vi.waitFor(() => expect(Object.fromEntries(running)).toEqual({ busy: 2, small: 1 }));
      expect(await queue.counts()).toMatchObject({ active: 3, waiting: 3 });
      finish();
      await vi.waitFor(async () => expect(await queue.counts()).toMatchObject({ active: 0, waiting: 0 }));
      expect(Object.fromEntries(most)).toEqual({ busy: 2, small: 1 });
    });
  });
});
