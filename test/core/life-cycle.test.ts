import { type Driver, memoryDriver, Queue, QueueManager, QueueWorker } from "@quayside/core";
import { describe, expect, it, vi } from "vitest";

function open() {
  const driver: Driver = memoryDriver();
  const closed = vi.spyOn(driver, "close");
  const queue = new Queue("mail", driver);
  const ran: unknown[] = [];
  queue.on("job:email", (payload) => void ran.push(payload));
  return { driver, closed, queue, ran };
}

describe("one life cycle", () => {
  it.each(["run", "start"] as const)("%s() starts a queue, a worker and a manager", async (verb) => {
    const { queue, ran } = open();
    const worker = new QueueWorker(queue);
    await worker[verb]();
    expect(worker.status).toBe("running");
    await worker.stop();
    await queue[verb]({ concurrency: 1 });
    await queue.waitFor(await queue.addJob("email", 1));
    await queue.stop();
    const manager = new QueueManager({ driver: memoryDriver(), queues: { mail: {} } });
    await manager[verb]();
    expect(manager.status).toBe("running");
    await manager.stop();
    expect(ran).toEqual([1]);
  });

  it("close() lets running handlers end, then closes the driver; a second call does nothing", async () => {
    const { queue, driver, closed } = open();
    const steps: string[] = [];
    let finish = () => {};
    const begun = new Promise<void>((resolve) => {
      queue.on("job:slow", async () => {
        resolve();
        await new Promise<void>((end) => (finish = end));
        steps.push("handler");
      });
    });
    closed.mockImplementationOnce(async () => void steps.push("driver"));
    await queue.addJob("slow", null);
    await queue.start();
    await begun;
    const closing = queue.close({ timeout: "10s" });
    finish();
    await closing;
    expect(steps).toEqual(["handler", "driver"]);
    await queue.close();
    await expect(queue.addJob("email", 1)).rejects.toMatchObject({ code: "closed" });
    await expect(driver.counts("mail")).rejects.toMatchObject({ code: "closed" });
    await expect(queue.run()).rejects.toMatchObject({ code: "closed" });
  });

  it("close() of a manager closes each driver once", async () => {
    const [first, second] = [memoryDriver(), memoryDriver()];
    const closed = [first, second].map((driver) => vi.spyOn(driver, "close"));
    const manager = new QueueManager({ driver: first, connections: { second, again: first }, queues: { mail: {} } });
    await manager.start();
    await manager.close();
    expect(manager.status).toBe("stopped");
    expect(closed.map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
  });

  it("close() refuses a wrong timeout, and closes nothing", async () => {
    const { queue, closed } = open();
    await queue.run();
    await expect(queue.close({ timeout: "soon" as "1s" })).rejects.toMatchObject({ code: "invalid_option" });
    expect(closed).not.toHaveBeenCalled();
    await queue.close();
  });

  it("close() inside a handler stops the worker, rejects, and closes nothing", async () => {
    const { queue, closed } = open();
    const worker = new QueueWorker(queue);
    const refusal = new Promise<unknown>((resolve) => {
      queue.on("job:last", () => worker.close().catch(resolve));
    });
    await queue.addJob("last", null);
    await worker.run();
    expect(await refusal).toMatchObject({ code: "conflict" });
    await vi.waitFor(() => expect(worker.status).toBe("stopped"));
    expect(closed).not.toHaveBeenCalled();
    await worker.close();
    expect(closed).toHaveBeenCalledOnce();
  });

  it("await using closes at the end of the block", async () => {
    const { queue, closed, ran } = open();
    {
      await using worker = new QueueWorker(queue);
      await worker.start();
      await queue.waitFor(await queue.addJob("email", 2));
      expect(closed).not.toHaveBeenCalled();
    }
    expect(closed).toHaveBeenCalledOnce();
    expect(ran).toEqual([2]);
    {
      await using other = new Queue("mail", memoryDriver());
      await using manager = new QueueManager({ driver: other.driver });
      expect(manager.status).toBe("stopped");
    }
  });
});
