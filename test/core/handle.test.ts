import { defineJobs, defineQueue, memoryDriver, Queue, type } from "@quayside/core";
import { describe, expect, it } from "vitest";

const jobs = defineJobs({
  email: { input: type<{ to: string }>(), output: type<string>() },
  resize: { input: type<{ width: number }>(), output: type<number>() },
});
const images = defineQueue("images", { jobs });

describe("queue.handle", () => {
  it("registers a handler for each job, and returns a function that removes them", async () => {
    const queue = new Queue(images, memoryDriver());
    const remove = queue.handle({ email: ({ to }) => `to ${to}`, resize: ({ width }) => width * 2 });
    const email = await queue.addJob("email", { to: "ada" });
    const resize = await queue.addJob("resize", { width: 4 });
    await queue.drain();
    expect(await queue.waitFor(email)).toBe("to ada");
    expect(await queue.waitFor(resize)).toBe(8);
    remove();
    await queue.addJob("email", { to: "ada" });
    await queue.drain();
    expect(await queue.counts()).toMatchObject({ waiting: 1 });
    await queue.close();
  });

  it("refuses a job that is left out, unless it is partial or handled otherwise", () => {
    const queue = new Queue(images, memoryDriver());
    const email = () => "";
    expect(() => queue.handle({ email } as never)).toThrow(
      "No handler for resize. Add one for each, or pass { partial: true }.",
    );
    expect(() => queue.handle({ email, resize: undefined } as never)).toThrow(/resize/);
    queue.handle({ email }, { partial: true });
    expect(() => queue.handle({} as never)).toThrow(/for resize\./);
    queue.on("job:resize", () => 1);
    queue.handle({} as never);
  });

  it("counts the handlers of definitions", () => {
    const own = defineJobs({ ping: { input: type<string>(), handler: () => {} }, pong: {} });
    const queue = new Queue("own", memoryDriver(), { jobs: own });
    expect(() => queue.handle({} as never)).toThrow(/No handler for pong\./);
  });

  it("registers nothing if one of the handlers is refused", async () => {
    const queue = new Queue(images, memoryDriver());
    const email = () => "";
    expect(() => queue.handle({ email, fax: email } as never)).toThrow(
      expect.objectContaining({ code: "unknown_job" }),
    );
    expect(() => queue.handle({ email, resize: 1 } as never)).toThrow(/handlers\.resize must be a function/);
    expect(() => queue.handle(null as never)).toThrow(/handlers must be an object/);
    expect(() => queue.handle({ email }, { partial: 1 } as never)).toThrow(/partial must be true or false/);
    expect(() => queue.handle({ email }, { parts: true } as never)).toThrow(/parts is no option/);
    expect(() => queue.handle({} as never)).toThrow(/No handler for email, resize\./);
  });

  it("of a queue without a map takes any name", async () => {
    const queue = new Queue("any", memoryDriver());
    queue.handle({ a: () => 1, b: () => 2 });
    const id = await queue.addJob("b", null);
    await queue.drain();
    expect(await queue.waitFor(id)).toBe(2);
    await queue.close();
  });
});
