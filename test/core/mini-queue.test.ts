import { memoryDriver, QueueWorker } from "@quayside/core";
import { addFlow, Queue as MiniQueue } from "@quayside/core/mini";
import { expect, it } from "vitest";

it("the small queue adds jobs, and a QueueWorker runs them with its handlers", async () => {
  const queue = new MiniQueue("mail", memoryDriver());
  const ran: unknown[] = [];
  queue.on("job:email", (payload, ctx) => ran.push([payload, ctx.queue]));
  const id = await queue.addJob("email", 1, { dedupe: { key: "a" } });
  expect(await queue.addJob("email", 2, { dedupe: { key: "a" } })).toBe(id);
  await queue.addJobs([{ name: "email", payload: 3 }]);
  await new QueueWorker([queue]).drain();
  expect(ran).toEqual([
    [1, "mail"],
    [3, "mail"],
  ]);
  expect(await queue.get(id)).toMatchObject({ state: "completed" });
});

it("the small queue refuses an option of a plugin that it was not given", async () => {
  const queue = new MiniQueue("mail", memoryDriver(), { plugins: [] });
  await expect(queue.addJob("email", 1, { dedupe: { key: "a" } })).rejects.toMatchObject({
    code: "invalid_option",
    details: { option: "dedupe" },
  });
});

it("the small queue adds a flow by the function of the plugin", async () => {
  const queue = new MiniQueue("mail", memoryDriver());
  queue.on("job:part", () => 1);
  queue.on("job:all", (_, ctx) => ctx.children().length);
  const flow = await addFlow(queue, { name: "all", payload: null, children: [{ name: "part", payload: null }] });
  await new QueueWorker([queue]).drain();
  expect(await queue.get(flow.id)).toMatchObject({ state: "completed", result: 1 });
});

it("a handler of the small queue adds a flow by the function, and ctx.addFlow says so", async () => {
  const queue = new MiniQueue("mail", memoryDriver());
  const refused: unknown[] = [];
  queue.on("job:start", async (_, ctx) => {
    await ctx.addFlow({ name: "all", payload: null }).catch((error: Error) => refused.push(error.message));
    return addFlow(queue, { name: "all", payload: null, children: [{ name: "part", payload: null }] });
  });
  queue.on("job:part", () => 1);
  queue.on("job:all", (_, ctx) => ctx.children().length);
  await queue.addJob("start", null);
  await new QueueWorker([queue]).drain();
  expect(refused).toEqual(['ctx.addFlow needs the Queue of @quayside/core; use addFlow(queue, flow), got "start".']);
  expect(await queue.counts()).toMatchObject({ completed: 3 });
});
