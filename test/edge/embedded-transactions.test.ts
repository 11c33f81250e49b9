import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { embedQueue } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { alarms, faults, type Shop, shopJobs } from "./embedded.ts";
import { inside, settled } from "./inside-shop.ts";

afterEach(async () => {
  await vi.waitFor(() => expect(alarms.running).toBe(0));
  faults.length = 0;
  await reset();
});

const undone = new Error("undone");
const later = (ms = 30) => scheduler.wait(ms);

/** Ways to undo a transaction after `add` has run in it. */
const ways: Readonly<Record<string, (shop: Shop, add: () => unknown) => Promise<unknown>>> = {
  "throws after an await": ({ storage }, add) =>
    storage.transaction(async () => {
      await add();
      await later();
      throw undone;
    }),
  "throws after it asked the storage": ({ storage }, add) =>
    storage.transaction(async () => {
      await add();
      for (let n = 0; n < 5; n++) await storage.getAlarm();
      await storage.sync();
      throw undone;
    }),
  "throws after a request to another object": ({ storage }, add) =>
    storage.transaction(async () => {
      await add();
      await env.SMOKE.getByName("elsewhere").notes();
      await later();
      throw undone;
    }),
  "calls txn.rollback()": ({ storage }, add) =>
    storage.transaction(async (txn) => {
      await add();
      await later();
      txn.rollback();
      throw undone;
    }),
  "calls txn.rollback() and returns": async ({ storage }, add) => {
    await storage.transaction(async (txn) => {
      await add();
      await later();
      txn.rollback();
      await later();
    });
    throw undone;
  },
  "lets a transactionSync in it return, and throws": ({ storage }, add) =>
    storage.transaction(async () => {
      let added: unknown;
      storage.transactionSync(() => {
        added = add();
      });
      await added;
      await later();
      throw undone;
    }),
  "lets an asynchronous one in it return, and throws": ({ storage }, add) =>
    storage.transaction(async () => {
      await storage.transaction(async () => {
        await add();
        await later();
      });
      await later();
      throw undone;
    }),
  "is called by the function of the prototype": ({ storage }, add) =>
    Object.getPrototypeOf(storage).transaction.call(storage, async () => {
      await add();
      await later();
      throw undone;
    }),
};

// First of all: once one object of the module has a queue, functions of the prototype are observed too.
it("R3: a transaction that was undone by a function taken from the storage before is reported, and memory is right", () =>
  runInDurableObject(env.SMOKE.getByName("taken"), async (_, ctx) => {
    const { storage } = ctx;
    const taken = [storage.transactionSync.bind(storage), storage.transaction.bind(storage)] as const;
    const errors: unknown[] = [];
    const mail = embedQueue(ctx, {
      jobs: shopJobs,
      handlers: { sleep: () => {} },
      onError: (error) => void errors.push(error),
    });
    // Not made in the object's constructor: what it begins with comes to its end first.
    await storage.getAlarm();
    await mail.counts();
    const add = () => void mail.addJobSync("receipt", { order: "lost" }, { delay: "1h" });
    expect(() =>
      taken[0](() => {
        add();
        throw undone;
      }),
    ).toThrow(undone);
    expect(await mail.counts()).toMatchObject({ delayed: 0 });
    await expect(
      taken[1](async () => {
        add();
        await later();
        throw undone;
      }),
    ).rejects.toBe(undone);
    expect(await mail.counts()).toMatchObject({ delayed: 0 });
    expect(errors).toHaveLength(2);
    expect(errors).toEqual([
      expect.objectContaining({ code: "conflict" }),
      expect.objectContaining({ message: expect.stringContaining("before embedQueue()") }),
    ]);
  }));

describe("R3: a transaction of the object's own code that is undone", () => {
  it.each(Object.keys(ways))("runs no job that was added in it: it %s", (way) =>
    inside(async (shop, ran) => {
      await settled(shop);
      await shop.mail.counts();
      const told: string[] = [];
      const stop = shop.mail.watch(({ kind }) => told.push(kind));
      const run = ways[way] as (shop: Shop, add: () => unknown) => Promise<unknown>;
      await expect(run(shop, () => shop.mail.addJob("checked", { order: "lost" }))).rejects.toBe(undone);
      expect(told).toEqual([]);
      expect(await shop.mail.counts()).toMatchObject({ waiting: 0, delayed: 0, active: 0 });
      stop();
      await settled(shop);
      expect(ran).toEqual([]);
      expect(await shop.mail.size()).toBe(0);
      expect(faults).toEqual([]);
    }),
  );

  it("forgets what it learnt of the store in it, though the last write there changed nothing", () =>
    inside(async ({ storage, mail }) => {
      await mail.addJob("receipt", { order: "kept" }, { delay: "1h" });
      expect(await mail.counts()).toMatchObject({ delayed: 1, paused: false });
      const writes: readonly (() => unknown)[] = [
        // The records that they write last are there already, as they write them; or are not there and are deleted.
        () => mail.resume(),
        () => mail.deleteAlarm(),
        () => mail.configure({ keep: { completed: 0 } }),
        () => mail.addJob("receipt", { order: "kept" }, { delay: "1h", id: "there" }),
      ];
      await mail.configure({ keep: { completed: 0 } });
      await mail.addJob("receipt", { order: "kept" }, { delay: "1h", id: "there" });
      for (const write of writes) {
        await expect(
          storage.transaction(async () => {
            mail.addJobSync("receipt", { order: "lost" }, { delay: "1m" });
            await write();
            await later(1);
            throw undone;
          }),
        ).rejects.toBe(undone);
        expect(await mail.counts()).toMatchObject({ delayed: 2, waiting: 0, paused: false });
        mail.addJobSync("receipt", { order: "armed" }, { delay: "30m", id: "armed" });
        expect(((await storage.getAlarm()) as number) - Date.now()).toBeGreaterThan(1_700_000);
        await mail.remove("armed");
      }
    }));

  it("keeps what was written in it after txn.rollback()", () =>
    inside(async (shop, ran) => {
      const { storage, mail } = shop;
      for (const fails of [false, true]) {
        await mail.counts();
        const transaction = storage.transaction(async (txn) => {
          await mail.addJob("checked", { order: "lost" });
          await later(1);
          txn.rollback();
          await mail.addJob("checked", { order: `after, ${fails}` });
          await later();
          expect(ran).not.toContain(`after, ${fails}`);
          if (fails) throw undone;
        });
        if (fails) await expect(transaction).rejects.toBe(undone);
        else await transaction;
        await vi.waitFor(() => expect(ran).toContain(`after, ${fails}`), { timeout: 1_000 });
        await settled(shop);
        expect(await mail.counts()).toMatchObject({ waiting: 0, delayed: 0, active: 0, failed: 0 });
      }
      expect(ran).toEqual(["after, false", "after, true"]);
    }));

  it("leaves a job running that ends in it: the end is told and stored afterwards", () =>
    inside(async (shop) => {
      const { storage, mail } = shop;
      let end: () => void = () => {};
      const attempts: number[] = [];
      mail.on("job:here", (_, { attempt }) => {
        attempts.push(attempt);
        return new Promise<void>((resolve) => {
          end = resolve;
        });
      });
      const told: string[] = [];
      mail.on("completed", ({ job }) => void told.push(job.id));
      for (const undo of [true, false]) {
        const id = mail.addJobSync("here", { order: "held" });
        await vi.waitFor(async () => expect(await mail.get(id)).toMatchObject({ state: "active" }));
        const transaction = storage.transaction(async () => {
          shop.insert(id);
          end();
          await later();
          expect(told).toEqual([]);
          expect(await mail.get(id)).toMatchObject({ state: "active" });
          if (undo) throw undone;
        });
        if (undo) await expect(transaction).rejects.toBe(undone);
        else await transaction;
        await vi.waitFor(() => expect(told).toEqual([id]), { timeout: 1_000 });
        expect(await mail.get(id)).toMatchObject({ state: "completed", attempts: 1, interruptions: 0 });
        told.length = 0;
      }
      expect(attempts).toEqual([1, 1]);
      await settled(shop);
    }));

  it("undoes an alarm, a cancel, a pause and a schedule with it", () =>
    inside(async ({ storage, mail }, ran) => {
      const id = await mail.addJob("checked", { order: "kept" }, { delay: "1h" });
      mail.setAlarm(Date.now() + 7_200_000);
      const at = mail.getAlarm();
      await expect(
        storage.transaction(async () => {
          mail.setAlarm(Date.now() + 10);
          await mail.cancel(id);
          await mail.pause();
          await mail.schedule("often", { every: "1s", immediately: true, name: "checked", payload: { order: "lost" } });
          await later();
          expect(await mail.counts()).toMatchObject({ delayed: 0, cancelled: 1, paused: true });
          throw undone;
        }),
      ).rejects.toBe(undone);
      expect(mail.getAlarm()).toBe(at);
      expect(await mail.schedules()).toEqual([]);
      expect(await mail.counts()).toMatchObject({ delayed: 1, cancelled: 0, paused: false });
      await mail.promote(id);
      await vi.waitFor(() => expect(ran).toEqual(["kept"]), { timeout: 1_000 });
    }));
});

describe("R3: a transaction of the object's own code that is committed", () => {
  it("starts its jobs and tells of them when it is, at once and not before", () =>
    inside(async ({ storage, mail }, ran) => {
      const told: string[] = [];
      mail.watch(({ kind }) => told.push(kind));
      await storage.transaction(async () => {
        mail.addJobSync("sleep", { ms: 0 }, { id: "sync" });
        await mail.addJob("checked", { order: "two" }, { delay: "1h", id: "delayed" });
        await mail.addJob("checked", { order: "one" });
        await storage.transaction(async () => {
          await mail.promote("delayed");
          await later();
        });
        await later();
        expect([told, ran]).toEqual([[], []]);
      });
      await vi.waitFor(() => expect([...ran].sort()).toEqual(["one", "two"]), { timeout: 1_000 });
      await vi.waitFor(async () => expect(await mail.get("sync")).toMatchObject({ state: "completed" }), {
        timeout: 1_000,
      });
      expect(told).toContain("ready");
    }));

  const waiting: Readonly<Record<string, (shop: Shop, id: string) => Promise<unknown>>> = {
    "drain()": ({ mail }) => mail.drain(),
    "drain() of another queue": ({ mail }) => mail.queue("bulk").drain(),
    "waitFor()": ({ mail }, id) => mail.waitFor(id, { timeout: 300 }),
    "waitFor() of another queue": ({ mail }) => mail.queue("bulk").waitFor("none", { timeout: 300 }),
    "waitFor() in a transactionSync in it": ({ mail, storage }, id) =>
      storage.transactionSync(() => mail.waitFor(id, { timeout: 300 })),
  };
  it.each(Object.keys(waiting))("refuses %s in it, which would wait for its end", (call) =>
    inside(async (shop, ran) => {
      const id = await shop.storage.transaction(async () => {
        const added = await shop.mail.addJob("checked", { order: "one" });
        await expect(waiting[call]?.(shop, added)).rejects.toMatchObject({
          code: "conflict",
          message: expect.stringContaining(`${call.split(" ")[0]} was called inside a transaction`),
        });
        return added;
      });
      await shop.mail.waitFor(id, { timeout: "5s" });
      await shop.mail.drain();
      expect(ran).toEqual(["one"]);
    }),
  );

  it("does not wait in it for alarm(), which is rung again later", () =>
    inside(async (shop, ran) => {
      await shop.storage.transaction(async () => {
        await shop.mail.addJob("checked", { order: "one" });
        await shop.mail.alarm();
        expect(ran).toEqual([]);
        expect(faults).toMatchObject([{ code: "conflict", message: expect.stringContaining("alarm()") }]);
      });
      expect(await shop.storage.getAlarm()).toBeGreaterThan(Date.now());
      await vi.waitFor(() => expect(ran).toEqual(["one"]));
    }));

  it("waits for a job by a promise that a transactionSync returns", () =>
    inside(async ({ mail, storage }) => {
      const ended = storage.transactionSync(() => mail.waitFor(mail.addJobSync("sleep", { ms: 0 })));
      expect(await ended).toBeUndefined();
    }));
});

describe("an object that nobody has called", () => {
  const starts: Readonly<Record<string, (shop: Shop) => Promise<unknown>>> = {
    addJob: ({ mail }) => mail.addJob("checked", { order: "now" }),
    addJobs: ({ mail }) => mail.addJobs([{ name: "checked", payload: { order: "now" } }]),
    "addJob of another queue": ({ mail }) => {
      const bulk = mail.queue("bulk");
      return bulk.addJob("sleep", { ms: 0 }).then((id) => bulk.addJob("sleep", { ms: 0 }, { id: `${id}-next` }));
    },
    promote: async ({ mail }) => mail.promote(await mail.addJob("checked", { order: "now" }, { delay: "1h" })),
    schedule: ({ mail }) =>
      mail.schedule("daily", { every: "1d", immediately: true, name: "checked", payload: { order: "now" } }),
    resume: async ({ mail }) => {
      await mail.pause();
      await mail.addJob("checked", { order: "now" });
      await mail.resume();
    },
    retry: async ({ mail }) => {
      const id = await mail.addJob("checked", { order: "now" }, { delay: "1h" });
      await mail.cancel(id);
      await mail.retry(id);
    },
  };
  it.each(Object.keys(starts))("starts a job at once: %s", (verb) =>
    inside(async (shop) => {
      const started: string[] = [];
      shop.mail.on("completed", ({ job }) => void started.push(job.id));
      shop.mail.queue("bulk").on("completed", ({ job }) => void started.push(job.id));
      await (starts[verb] as (shop: Shop) => Promise<unknown>)(shop);
      await vi.waitFor(() => expect(started.length).toBeGreaterThan(0), { timeout: 2_000 });
    }),
  );
});
