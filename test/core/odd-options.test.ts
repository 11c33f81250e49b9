import { type Driver, memoryDriver, Queue, QueueWorker } from "@quayside/core";
import { type ExchangeRequest, MemoryStore, StoreDriver } from "@quayside/core/engine";
import { type HttpDriverOptions, httpDriver } from "@quayside/core/http";
import { dedupe, Queue as MiniQueue, memoryDriver as miniMemoryDriver } from "@quayside/core/mini";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it, vi } from "vitest";
import { rejection } from "./support.ts";

/** The option that a call refuses, and its message. */
function refusal(call: () => unknown): [unknown, string] {
  try {
    call();
  } catch (error) {
    const { code, details, message } = error as { code?: string; details?: { option?: string }; message: string };
    return [code === "invalid_option" ? details?.option : error, message];
  }
  throw new Error("It was not refused.");
}

describe("An odd option is refused by its name:", () => {
  it.each([
    ["a function that was not called", [dedupe], "plugins[0]"],
    ["a name", ["dedupe"], "plugins[0]"],
    ["null among them", [dedupe(), null], "plugins[1]"],
    ["a plugin in an object", [{ plugin: dedupe() }], "plugins[0]"],
    ["null", null, "plugins"],
    ["a plugin without a list", dedupe(), "plugins"],
  ])("plugins: %s", (_, plugins, option) => {
    expect(refusal(() => miniMemoryDriver({ plugins: plugins as never }))[0]).toBe(option);
    expect(refusal(() => new MiniQueue("mail", miniMemoryDriver(), { plugins: plugins as never }))[0]).toBe(option);
  });

  it("plugins: the message shows a call", () => {
    expect(refusal(() => miniMemoryDriver({ plugins: [dedupe as never] }))[1]).toContain("such as dedupe() (a call)");
  });

  it.each([Queue, MiniQueue])("jobs: null, by either queue", (Class) => {
    expect(refusal(() => new Class("mail", memoryDriver(), { jobs: null as never }))[0]).toBe("jobs");
  });

  it.each(["text", 5, [], null])("ctx: %j, of a queue and of a worker", (ctx) => {
    expect(refusal(() => new Queue("mail", memoryDriver(), { ctx: ctx as never }))[0]).toBe("ctx");
    const queue = new Queue("mail", memoryDriver());
    expect(refusal(() => new QueueWorker([queue], { ctx: ctx as never }))[0]).toBe("ctx");
  });

  it.each([
    ["queues", "mail"],
    ["queues", [5]],
    ["fetch", "fetch"],
    ["fetch", null],
    ["clock", Date],
    ["token", { bearer: "x" }],
    ["timeout", 0],
    ["timout", "5s"],
  ])("httpDriver's %s: %j", (option, value) => {
    const options = { url: "https://api.test/queues", [option]: value } as HttpDriverOptions;
    expect(refusal(() => httpDriver(options))[0]).toBe(option);
  });

  it.each([null, undefined, "https://api.test/queues"])("httpDriver's options: %j", (options) => {
    expect(refusal(() => httpDriver(options as never))[0]).toBe("options");
  });

  it.each([
    ["claim", null],
    ["claim.queues", { limit: 1 }],
    ["claim.queues", { limit: 1, queues: ["mail"] }],
    ["claim.queues", { limit: 1, queues: [null] }],
    ["claim.queues", { limit: 1, queues: [{ queue: 5 }] }],
  ])("the %s of an exchange: %j, by each driver", async (option, claim) => {
    const drivers: Driver[] = [memoryDriver(), httpDriver({ url: "https://api.test/queues" })];
    for (const driver of drivers) {
      const request = { worker: "w", liveness: "time", leaseMs: 1_000, exchange: 1, settle: [], running: [], claim };
      expect(await rejection(driver.exchange(request as unknown as ExchangeRequest))).toMatchObject({
        code: "invalid_option",
        details: { option },
      });
      await driver.close();
    }
  });
});

describe("A worker of queues", () => {
  it("of one name on two drivers is refused for its drivers", () => {
    const queues = [new Queue("mail", memoryDriver()), new Queue("mail", memoryDriver())];
    expect(refusal(() => new QueueWorker(queues))[1]).toContain("must share one driver");
  });

  it("refuses a proxy of a queue, and says so", () => {
    const queue = new Proxy(new Queue("mail", memoryDriver()), {});
    expect(refusal(() => new QueueWorker([queue]))[1]).toContain("no proxies");
  });

  it("names the entry whose concurrency is odd", () => {
    const driver = memoryDriver();
    const queues = [new Queue("mail", driver), { queue: new Queue("images", driver), concurrency: 0 }];
    expect(refusal(() => new QueueWorker(queues))[0]).toBe("queues[1].concurrency");
  });
});

describe("An id that no job can have", () => {
  it.each(["a".repeat(257), "", "\ud800"])("is refused alike by add, get, cancel and remove: %#", async (id) => {
    const drivers: Driver[] = [memoryDriver(), httpDriver({ url: "https://api.test/queues" })];
    for (const driver of drivers) {
      const queue = new Queue("mail", driver);
      const calls = [queue.addJob("email", null, { id }), queue.get(id), queue.cancel(id), queue.remove(id)];
      const messages = await Promise.all(calls.map(async (call) => (await rejection(call)).message));
      expect(new Set(messages).size).toBe(1);
      expect(messages[0]).toMatch(/^id must be a string of 1 to 256 characters/);
      await driver.close();
    }
  });
});

describe("A read that no plugin has", () => {
  it("is refused, though every object has a member of its name", async () => {
    class Asking extends StoreDriver {
      ask = (name: string) => this.run((current) => this.plugins.read(current, name, {}));
    }
    const driver = new Asking(new MemoryStore(), { plugins: [{ name: "mine", reads: {} }] });
    expect(await rejection(driver.ask("toString"))).toMatchObject({ code: "invalid_option" });
  });
});

describe("drain", () => {
  it.each([
    [401, "unauthorized"],
    [403, "forbidden"],
    [403, "subject_required"],
  ])("rejects where the server answers %d %s every time", async (status, code) => {
    const body = JSON.stringify({ status, code, detail: "No." });
    const headers = { "content-type": "application/problem+json" };
    const clock = createManualClock();
    const driver = httpDriver({
      url: "https://api.test/queues",
      clock,
      fetch: async () => new Response(body, { status, headers }),
    });
    const queue = new Queue("mail", driver, { clock });
    queue.on("error", () => {});
    queue.on("job:email", () => {});
    let error: unknown;
    void rejection(queue.drain()).then((one) => (error = one));
    await vi.waitFor(async () => {
      await clock.advance("1s");
      expect(error).toMatchObject({ code });
    });
    await driver.close();
  });

  it("rejects at once where the store has records of plugins that the driver lacks", async () => {
    const store = new MemoryStore();
    const other = miniMemoryDriver({ store, plugins: [dedupe()] });
    await new MiniQueue("mail", other).addJob("email", null, { dedupe: { key: "a" } });
    const queue = new MiniQueue("mail", miniMemoryDriver({ store }));
    queue.on("job:email", () => {});
    const error = await rejection(new QueueWorker([queue]).drain());
    expect(error).toMatchObject({ code: "storage_unavailable", details: { reason: "missing_plugins" } });
    expect(error.message).toMatch(/^This store has records of plugins that this driver does not have/);
  });
});
