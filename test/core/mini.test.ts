import { everything, Queue } from "@quayside/core";
import { MemoryStore, type NewJob, StoreDriver } from "@quayside/core/engine";
import {
  admin,
  dedupe,
  expiry,
  flows,
  groups,
  idempotency,
  inspect,
  list,
  Queue as MiniQueue,
  maxActive,
  maxWaiting,
  memoryDriver,
  type Plugin,
  QueueWorker,
  rateLimit,
  recurrences,
  unknownNames,
} from "@quayside/core/mini";
import { createManualClock, driverConformance, type OpenDriver } from "@quayside/testing";
import { describe, expect, it } from "vitest";

const opener =
  (...plugins: readonly Plugin[]): OpenDriver =>
  async () => {
    const clock = createManualClock();
    const store = new MemoryStore();
    const drivers = [memoryDriver({ store, clock, plugins })];
    return {
      driver: drivers[0] as StoreDriver,
      another: async () => {
        const driver = memoryDriver({ store, clock, plugins });
        drivers.push(driver);
        return driver;
      },
      clock,
      advance: (ms) => clock.advance(ms),
      jump: async (ms) => clock.jump(ms),
      transact: (start) => store.transact(start),
      close: async () => {
        for (const driver of drivers) await driver.close();
      },
    };
  };

describe.each([
  { plugins: [], least: 230 },
  { plugins: [flows(), dedupe()], least: 320 },
  // Not in the order of their hooks.
  { plugins: [admin(), groups(), expiry(), unknownNames()], least: 320 },
])("the memoryDriver of mini with $plugins.length plugins", ({ plugins, least }) => {
  const names = plugins.map(({ name }) => name);
  const cases = driverConformance({ describe, it, expect }, opener(...plugins), { plugins: names });
  it(`runs at least ${least} cases: those that need no plugin besides ${names.join(", ") || "the kernel"}`, () => {
    expect(cases).toBeGreaterThanOrEqual(least);
    console.info(`driver conformance of mini with ${names.join(", ") || "no plugin"}: ${cases} cases`);
  });
});

const job = (fields: Partial<NewJob> = {}): NewJob => ({ queue: "mail", name: "email", payload: "null", ...fields });
const advice = (plugin: string) => `Add \`${plugin}\` from "@quayside/core/mini" to the driver's plugins.`;

describe("a driver that lacks a plugin", () => {
  it.each([
    ["dedupe", { dedupe: { key: "k", mode: "drop" } }],
    ["groups", { group: { key: "k" } }],
    ["expiry", { expiresInMs: 1_000 }],
    ["flows", { flow: { ref: "top" } }],
  ] as const)("names %s where an added job needs it, and adds nothing", async (plugin, fields) => {
    const driver = memoryDriver();
    await expect(driver.enqueue([job(), job(fields)])).rejects.toMatchObject({
      code: "invalid_option",
      message: expect.stringContaining(advice(plugin)),
    });
    expect(await driver.counts("mail")).toMatchObject({ waiting: 0 });
  });

  it.each([
    ["rateLimit", (queue: Queue) => queue.configure({ rateLimit: { max: 1, per: "1s" } })],
    ["maxActive", (queue: Queue) => queue.configure({ maxActive: 1 })],
    ["maxWaiting", (queue: Queue) => queue.configure({ maxWaiting: 1 })],
    ["inspect", (queue: Queue) => queue.list()],
    ["recurrences", (queue: Queue) => queue.schedules()],
    ["recurrences", (queue: Queue) => queue.schedule("hourly", { every: "1h", name: "email", payload: null })],
    ["recurrences", (queue: Queue) => queue.unschedule("hourly")],
    ["admin", (queue: Queue) => queue.retry("a")],
    ["admin", (queue: Queue) => queue.promote("a")],
    ["admin", (queue: Queue) => queue.update("a", { priority: 1 })],
    ["admin", (queue: Queue) => queue.retryAll()],
    ["admin", (queue: Queue) => queue.clear()],
    ["idempotency", (queue: Queue) => queue.driver.enqueue([job()], { sender: "s", number: 1, digest: "d" })],
  ] as const)("names %s where a call needs it", async (plugin, call) => {
    await expect(call(new Queue("mail", memoryDriver()))).rejects.toMatchObject({
      code: "invalid_option",
      message: expect.stringContaining(advice(plugin)),
    });
  });
});

const USES: readonly (readonly [plugin: Plugin, use: (queue: Queue) => Promise<unknown>])[] = [
  [dedupe(), ({ driver }) => driver.enqueue([job({ dedupe: { key: "k", mode: "drop" } })])],
  [groups(), ({ driver }) => driver.enqueue([job({ group: { key: "k" } })])],
  [expiry(), ({ driver }) => driver.enqueue([job({ expiresInMs: 1_000 })])],
  [flows(), ({ driver }) => driver.enqueue([job({ flow: { ref: "a" } }), job({ flow: { parentRef: "a" } })])],
  [idempotency(), ({ driver }) => driver.enqueue([job()], { sender: "s", number: 1, digest: "d" })],
  [rateLimit(), (queue) => queue.configure({ rateLimit: { max: 1, per: "1s" } })],
  [maxActive(), (queue) => queue.configure({ maxActive: 1 })],
  [maxWaiting(), (queue) => queue.configure({ maxWaiting: 9 })],
  [recurrences(), (queue) => queue.schedule("hourly", { every: "1h", name: "email", payload: null })],
];

describe("a store that several drivers share", () => {
  it.each(USES)("$name: a driver without it is refused at its next call once it owns records", async (plugin, use) => {
    const store = new MemoryStore();
    const [less, more] = [memoryDriver({ store }), memoryDriver({ store, plugins: [plugin, inspect()] })];
    await less.enqueue([job()]);
    await more.enqueue([job()]);
    expect(await less.counts("mail")).toMatchObject({ waiting: 2 });
    await use(new Queue("mail", more));
    const refusal = {
      code: "storage_unavailable",
      details: { reason: "missing_plugins", missing: [plugin.name] },
      message: expect.stringContaining(advice(plugin.name)),
    };
    for (const driver of [less, memoryDriver({ store })])
      for (const call of [() => driver.counts("mail"), () => driver.enqueue([job()]), () => driver.nextWake(["mail"])])
        await expect(call()).rejects.toMatchObject(refusal);
    expect((await more.counts("mail")).waiting + (await more.counts("mail")).delayed).toBeGreaterThanOrEqual(2);
    await memoryDriver({ store, plugins: [plugin] }).enqueue([job()]);
  });

  it("unknownNames: a driver without it is refused once a job has stepped aside", async () => {
    const store = new MemoryStore();
    const [less, more] = [memoryDriver({ store }), memoryDriver({ store, plugins: [unknownNames()] })];
    await less.enqueue([job()]);
    await more.exchange({
      worker: "w",
      liveness: "time",
      leaseMs: 1_000,
      exchange: 1,
      settle: [],
      running: [],
      claim: { limit: 1, queues: [{ queue: "mail", names: ["other"] }] },
    });
    await expect(less.counts("mail")).rejects.toMatchObject({ details: { missing: ["unknownNames"] } });
  });

  it("records no plugin whose add was refused or undone", async () => {
    const store = new MemoryStore();
    const [less, more] = [memoryDriver({ store }), memoryDriver({ store, plugins: [dedupe()] })];
    await expect(
      more.enqueue([job({ dedupe: { key: "k", mode: "drop" } }), job({ group: { key: "k" } })]),
    ).rejects.toMatchObject({ code: "invalid_option" });
    expect(await less.counts("mail")).toMatchObject({ waiting: 0 });
  });

  it("reads the plugins once where a driver is told to read them first", async () => {
    const store = new MemoryStore();
    const all = new StoreDriver(store.connect(), { plugins: everything(), readOwners: "first" });
    const own: Plugin = { name: "officeHours", fields: ["officeHours"] };
    await all.enqueue([job({ dedupe: { key: "k", mode: "drop" } })]);
    const more = memoryDriver({ store, plugins: [own, dedupe()] });
    await more.enqueue([{ ...job(), officeHours: [9, 17] } as NewJob]);
    const late = new StoreDriver(store.connect(), { plugins: everything(), readOwners: "first" });
    await expect(late.counts("mail")).rejects.toMatchObject({
      details: { missing: ["officeHours"] },
      message: expect.stringContaining("Add officeHours to the driver's plugins."),
    });
  });
});

describe("the Queue of mini", () => {
  it.each([
    ["dedupe", { dedupe: { key: "k" } }],
    ["groups", { group: { key: "k" } }],
    ["expiry", { expiresIn: "1m" }],
  ] as const)(
    "refuses the job option of %s with the import to add, and takes it where the driver has it",
    async (plugin, options) => {
      const queue = new MiniQueue("mail", memoryDriver());
      await expect(queue.addJob("email", null, options)).rejects.toMatchObject({
        code: "invalid_option",
        message: expect.stringContaining(advice(plugin)),
      });
      const able = new MiniQueue("mail", memoryDriver({ plugins: [dedupe(), groups(), expiry()] }));
      await able.addJob("email", null, options);
      expect(await able.counts()).toMatchObject({ waiting: 1 });
    },
  );

  it("runs jobs with a QueueWorker, and lists them with a function", async () => {
    const driver = memoryDriver({ plugins: [inspect()] });
    const queue = new MiniQueue<{ email: string }>("mail", driver);
    const done = new Promise((resolve) => queue.on("job:email", (to) => resolve(to)));
    const worker = new QueueWorker([queue]);
    await worker.start();
    await queue.addJob("email", "ada");
    expect(await done).toBe("ada");
    await worker.stop();
    expect((await list(queue)).jobs).toMatchObject([{ state: "completed", payload: "ada" }]);
  });
});
