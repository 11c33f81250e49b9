import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { embedQueue } from "@quayside/edge";
import { afterEach, expect, it, vi } from "vitest";
import { type Shop, shopJobs } from "./embedded.ts";

afterEach(reset);

it("an object without any handler sets no alarm for jobs that are due; the first handler that is added runs them", async () => {
  await runInDurableObject(env.SMOKE.getByName("no handlers"), async (_, ctx) => {
    const mail = embedQueue(ctx, { jobs: shopJobs, handlers: {}, onError: () => {} });
    await ctx.storage.getAlarm();
    const id = await mail.addJob("checked", { order: "one" });
    mail.addJobSync("receipt", { order: "two" }, { delay: "1m" });
    await mail.schedule("daily", { every: "1d", name: "receipt", payload: { order: "three" } });
    await mail.run();
    expect(await ctx.storage.getAlarm()).toBeNull();
    const ran: string[] = [];
    mail.on("job:checked", ({ order }) => void ran.push(order));
    await vi.waitFor(async () => expect(await mail.get(id)).toMatchObject({ state: "completed" }));
    expect(ran).toEqual(["one"]);
    expect(((await ctx.storage.getAlarm()) as number) - Date.now()).toBeGreaterThan(0);
  });
});

it.each(["a due job", "a due job of another queue", "a recurrence"])(
  "an object without any handler sets no alarm again when it rings over %s",
  async (what) => {
    await runInDurableObject(env.SMOKE.getByName(what), async (_, ctx) => {
      const mail = embedQueue(ctx, { jobs: shopJobs, handlers: {}, onError: () => {} });
      await ctx.storage.getAlarm();
      if (what === "a due job") mail.addJobSync("receipt", { order: "one" });
      else if (what === "a recurrence")
        await mail.schedule("often", { every: "1s", name: "receipt", payload: { order: "one" } });
      else mail.queue("bulk").addJobSync("receipt", { order: "one" });
      for (let ring = 0; ring < 3; ring++) {
        await mail.alarm();
        expect(await ctx.storage.getAlarm()).toBeNull();
      }
    });
  },
);

it("a queue of which no job has a handler does not wake an object that has handlers for another", async () => {
  const object = env.SHOP.getByName("other-handlers");
  await runInDurableObject(object, async ({ mail, storage }: Shop) => {
    const id = await mail.addJob("checked", { order: "one" });
    await vi.waitFor(async () => expect(await mail.get(id)).toMatchObject({ blockedBy: "name" }));
    mail.setAlarm(Date.now());
    // The alarm that guarded the add rings at most once more.
    await vi.waitFor(async () => expect(await storage.getAlarm()).toBeNull(), { timeout: 14_000, interval: 200 });
  });
});
