import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { bearerTokens, edgeQueue, embeddedQueues, embedQueue, queueApi } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { alarms, faults, onAlarm, type Shop, shopJobs } from "./embedded.ts";

afterEach(async () => {
  await vi.waitFor(() => expect(alarms.running).toBe(0));
  faults.length = 0;
  await reset();
});

interface OpenShop {
  readonly name: string;
  readonly object: DurableObjectStub<Shop>;
  inside<T>(work: (shop: Shop) => T | Promise<T>): Promise<T>;
}

let opened = 0;

function open(): OpenShop {
  const name = `shop-${opened++}`;
  const object = env.SHOP.getByName(name);
  return { name, object, inside: (work) => runInDurableObject(object, (shop: Shop) => work(shop)) };
}

const receipts = () => env.SMOKE.getByName("receipts").notes();

describe("a queue embedded in an object of one's own", () => {
  it("adds a job in the same transaction as the object's own rows, and works it", async () => {
    const { inside } = open();
    const id = await inside((shop) =>
      shop.storage.transactionSync(() => {
        shop.insert("one");
        return shop.mail.addJobSync("receipt", { order: "one" });
      }),
    );
    await vi.waitFor(async () => expect(await receipts()).toEqual(["one"]));
    expect(await inside((shop) => shop.orders())).toEqual(["one"]);
    await vi.waitFor(async () =>
      expect(await inside((shop) => shop.mail.get(id))).toMatchObject({ state: "completed" }),
    );
  });

  it("gives a job that runs where it is added the handlers' env, and runs an id once", async () => {
    const { inside } = open();
    await inside(async ({ mail }) => {
      for (const order of ["one", "two"]) await mail.addJob("here", { order }, { id: "same" });
    });
    expect(await receipts()).toEqual(["one"]);
  });

  it("adds none, and sets no alarm, when that transaction is undone", async () => {
    const { inside } = open();
    const seen = await inside(async (shop) => {
      await shop.mail.counts();
      expect(() =>
        shop.storage.transactionSync(() => {
          shop.insert("one");
          shop.mail.addJobSync("receipt", { order: "one" }, { delay: "1h" });
          throw new Error("Sold out.");
        }),
      ).toThrow("Sold out.");
      return { orders: shop.orders(), counts: await shop.mail.counts(), alarm: await shop.storage.getAlarm() };
    });
    expect(seen).toMatchObject({ orders: [], counts: { delayed: 0, waiting: 0 }, alarm: null });
  });

  it.each(["transactionSync", "transaction"] as const)(
    "R3: what it keeps in memory is right after a %s that was undone, whatever comes next",
    async (kind) => {
      const { inside } = open();
      await inside(async ({ storage, mail }) => {
        // Counted from now on.
        await mail.counts();
        const undone = async (body: () => void) => {
          const failed = new Error("undone");
          const throwing = () => {
            body();
            throw failed;
          };
          if (kind === "transactionSync") expect(() => storage.transactionSync(throwing)).toThrow(failed);
          else await expect(storage.transaction(async () => throwing())).rejects.toBe(failed);
        };
        await undone(() => mail.addJobSync("receipt", { order: "lost" }, { delay: "1m" }));
        // In the same turn: nothing but the records themselves can tell it that the alarm of a minute is no more.
        mail.addJobSync("receipt", { order: "kept" }, { delay: "1h" });
        expect(((await storage.getAlarm()) as number) - Date.now()).toBeGreaterThan(3_500_000);
        expect(await mail.counts()).toMatchObject({ delayed: 1, waiting: 0 });

        await undone(() => {
          mail.addJobsSync([
            { name: "receipt", payload: { order: "a" }, delay: "1s" },
            { name: "receipt", payload: { order: "b" }, delay: "1s" },
          ]);
          mail.deleteAlarm();
          mail.setAlarm(Date.now() + 1_000);
        });
        expect(mail.getAlarm()).toBeNull();
        expect(await mail.counts()).toMatchObject({ delayed: 1 });
        expect(((await storage.getAlarm()) as number) - Date.now()).toBeGreaterThan(3_500_000);
      });
    },
  );

  it("R3: a part of a transaction that was undone takes its own jobs with it, and no others", async () => {
    const { inside } = open();
    await inside(async ({ storage, mail }) => {
      await mail.counts();
      storage.transactionSync(() => {
        mail.addJobSync("receipt", { order: "first" }, { delay: "2h" });
        expect(() =>
          storage.transactionSync(() => {
            mail.addJobSync("receipt", { order: "inner" }, { delay: "1m" });
            throw new Error("inner");
          }),
        ).toThrow("inner");
        mail.addJobSync("receipt", { order: "last" }, { delay: "1h" });
      });
      // Asked before the turn is over, in which the next call would set right what is not.
      const armed = storage.getAlarm();
      expect(await mail.counts()).toMatchObject({ delayed: 2, waiting: 0 });
      expect(await mail.list()).toMatchObject({
        jobs: [{ payload: { order: "last" } }, { payload: { order: "first" } }],
      });
      const alarm = ((await armed) as number) - Date.now();
      expect(alarm).toBeGreaterThan(3_500_000);
      expect(alarm).toBeLessThan(3_700_000);
    });
  });

  it("costs a row for a job that is added so, and the alarm", async () => {
    const { inside } = open();
    await inside(({ storage, mail }) => {
      const before = mail.usage();
      storage.transactionSync(() => {
        for (let n = 0; n < 10; n++) mail.addJobSync("receipt", { order: `${n}` }, { delay: "1h" });
      });
      const after = mail.usage();
      expect(after.rowsWritten - before.rowsWritten).toBe(10);
      expect(after.alarmsSet - before.alarmsSet).toBe(1);
    });
  });

  it("adds all of several jobs or none, and checks them before it writes", async () => {
    const { inside } = open();
    await inside(async ({ mail }) => {
      const [one, same] = mail.addJobsSync([
        { name: "receipt", payload: { order: "one" }, delay: "1h", id: "one" },
        { name: "receipt", payload: { order: "one" }, delay: "1h", id: "one" },
      ]);
      expect([one, same]).toEqual(["one", "one"]);
      expect(() =>
        mail.addJobsSync([
          { name: "receipt", payload: { order: "two" }, delay: "1h" },
          { name: "receipt", payload: { order: 2 as unknown as string }, delay: "1h" },
        ]),
      ).toThrow(expect.objectContaining({ code: "invalid_payload" }));
      expect(() => mail.addJobSync("fax" as "receipt", { order: "two" })).toThrow(
        expect.objectContaining({ code: "unknown_job" }),
      );
      expect(await mail.size()).toBe(1);
    });
  });

  it("refuses to add a job at once whose schema takes its time, and names it", async () => {
    const { inside } = open();
    await inside(async ({ mail }) => {
      expect(() => mail.addJobSync("checked", { order: "one" })).toThrow(
        expect.objectContaining({ code: "invalid_option", message: expect.stringContaining('Job "checked"') }),
      );
      await mail.addJob("checked", { order: "one" }, { delay: "1h" });
      expect(await mail.size()).toBe(1);
    });
  });

  it("tells who listens what became of its jobs, and takes further handlers", async () => {
    const { inside } = open();
    await inside(async ({ mail }) => {
      const completed: string[] = [];
      const bulk = mail.queue("bulk");
      mail.on("completed", ({ job }) => void completed.push(`mail ${job.name}`));
      bulk.on("completed", ({ job }) => void completed.push(`bulk ${job.name}`));
      const seen: string[] = [];
      mail.on("job:checked", ({ order }) => void seen.push(order));
      await mail.addJob("checked", { order: "one" });
      bulk.addJobSync("sleep", { ms: 1 });
      await vi.waitFor(() => expect(completed.toSorted()).toEqual(["bulk sleep", "mail checked"]));
      expect(seen).toEqual(["one"]);
      expect(mail.queue("bulk")).toBe(bulk);
    });
  });

  it.each([["bulk"], ["default", "bulk"], ["bulk", "letters"]])(
    "works jobs of %s %s that were stored in an earlier life of the object",
    async (...names) => {
      const { name, object, inside } = open();
      await inside(({ mail }) => {
        for (const of of names) mail.queue(of).addJobSync("receipt", { order: of }, { delay: 300 });
      });
      await evictDurableObject(object);
      await vi.waitFor(async () => expect(await receipts()).toHaveLength(names.length), { timeout: 5_000 });
      // An exchange that is refused is reported.
      expect([name, faults]).toEqual([name, []]);
    },
  );

  it("is one to an object: a second one is refused", async () => {
    const object = env.SMOKE.getByName("twice");
    await runInDurableObject(object, (_, ctx) => {
      embedQueue(ctx, {});
      expect(() => embedQueue(ctx, {})).toThrow(expect.objectContaining({ code: "conflict" }));
    });
  });

  it("is reached from outside through a method of its class", async () => {
    const { name } = open();
    const queue = edgeQueue(embeddedQueues(env.SHOP), "default", { jobs: shopJobs, object: name });
    const id = await queue.addJob("receipt", { order: "remote" });
    await vi.waitFor(async () => expect(await queue.get(id)).toMatchObject({ state: "completed" }));
    await expect(queue.retry("no such job")).rejects.toMatchObject({ code: "job_not_found" });
    const kinds: string[] = [];
    const stop = queue.watch(({ kind }) => kinds.push(kind));
    await queue.addJob("receipt", { order: "watched" });
    await vi.waitFor(() => expect(kinds).toContain("ended"));
    stop();

    const api = queueApi({
      object: (bindings: Cloudflare.Env) => embeddedQueues(bindings.SHOP),
      auth: bearerTokens({ token: { subject: "tests", scopes: ["enqueue", "admin"] } }),
    });
    const headers = { authorization: "Bearer token", "content-type": "application/json" };
    const body = JSON.stringify({ name: "sleep", payload: { ms: 0 } });
    const added = await api.request("/shop-api/jobs", { method: "POST", headers, body }, env);
    expect(added.status).toBe(201);
    const counted = await api.request("/shop-api/counts", { headers }, env);
    expect(await counted.json()).toMatchObject({ failed: 0 });
  });
});

/** What the object's alarm finds when it rings. Not a promise: what goes on after one would go on inside the object. */
function noting(name: string): (number | null)[] {
  const rang: (number | null)[] = [];
  onAlarm.set(name, ({ mail }) => void rang.push(mail.getAlarm()));
  return rang;
}

/** Records of the object's own alarm. */
const wishes = ({ storage }: Shop) => [...storage.sql.exec("SELECT 1 FROM quayside_cells WHERE kind = 'alarm'")].length;

describe("the alarm that an embedded queue shares with its object", () => {
  const inMs = async (storage: DurableObjectStorage) => ((await storage.getAlarm()) ?? 0) - Date.now();

  it("is armed for whichever comes first, the jobs or the object's own", async () => {
    const { inside } = open();
    await inside(async ({ storage, mail }) => {
      mail.setAlarm(Date.now() + 7_200_000);
      expect(await inMs(storage)).toBeGreaterThan(7_100_000);
      mail.addJobSync("receipt", { order: "one" }, { delay: "1h" });
      expect(await inMs(storage)).toBeLessThan(3_700_000);
      mail.setAlarm(new Date(Date.now() + 600_000));
      expect(await inMs(storage)).toBeLessThan(700_000);
      expect((mail.getAlarm() as number) - Date.now()).toBeGreaterThan(500_000);
      mail.deleteAlarm();
      expect(mail.getAlarm()).toBeNull();
      expect(() => mail.setAlarm(Number.NaN)).toThrow(expect.objectContaining({ code: "invalid_option" }));
    });
  });

  it("rings for the object's own, in an object that was evicted, and is then gone", async () => {
    const { name, object, inside } = open();
    const rang = noting(name);
    await inside(({ mail }) => mail.setAlarm(Date.now() + 300));
    await evictDurableObject(object);
    await vi.waitFor(() => expect(rang).toEqual([null]), { timeout: 5_000 });
    // No record of it is left: not even one that is being rung for.
    await vi.waitFor(async () => expect(await inside(wishes)).toBe(0));
  });

  it("rings for an instant that has passed, as the platform's does", async () => {
    const { name, inside } = open();
    const rang = noting(name);
    await inside(({ mail }) => mail.setAlarm(0));
    await vi.waitFor(() => expect(rang).toHaveLength(1));
  });

  it("rings for the object's own while it waits for jobs at work, and does not wait for them", async () => {
    const { name, inside } = open();
    const rang = noting(name);
    await inside(async ({ mail }) => {
      const id = mail.addJobSync("sleep", { ms: 60_000 }, { delay: 50 });
      await vi.waitFor(() => expect(alarms.running).toBe(1));
      await vi.waitFor(async () => expect(await mail.get(id)).toMatchObject({ state: "active" }));
      // No other alarm begins while this one waits for the job.
      mail.setAlarm(Date.now() + 50);
      await vi.waitFor(() => expect(rang).toHaveLength(1));
      expect(alarms.running).toBe(1);
      expect(await mail.get(id)).toMatchObject({ state: "active" });
      await mail.cancel(id);
    });
  });

  it("is rung again, later, for a handler that threw, and jobs run all the same", async () => {
    const { name, inside } = open();
    const tries: number[] = [];
    onAlarm.set(name, (_, retryCount) => {
      tries.push(retryCount);
      if (retryCount < 1) throw new Error("not yet");
    });
    await inside(({ storage, mail }) =>
      storage.transactionSync(() => {
        mail.setAlarm(Date.now());
        mail.addJobSync("receipt", { order: name });
      }),
    );
    await vi.waitFor(() => expect(tries).toEqual([0, 1]), { timeout: 10_000 });
    expect(await receipts()).toContain(name);
    expect(faults).toEqual([expect.objectContaining({ message: "not yet" })]);
    await vi.waitFor(async () => expect(await inside(({ mail }) => mail.getAlarm())).toBeNull());
  });

  it("is what its handler made of it: set anew it stands, though the handler threw", async () => {
    const { name, inside } = open();
    onAlarm.set(name, ({ mail }) => {
      mail.setAlarm(Date.now() + 3_600_000);
      throw new Error("after setting it anew");
    });
    await inside(({ mail }) => mail.setAlarm(Date.now()));
    await vi.waitFor(() => expect(faults).toHaveLength(1));
    await vi.waitFor(async () =>
      expect(((await inside(({ mail }) => mail.getAlarm())) ?? 0) - Date.now()).toBeGreaterThan(3_500_000),
    );
  });

  it("that was lost is set again by the next call of the queue", async () => {
    const { inside } = open();
    await inside(async ({ storage, mail }) => {
      mail.setAlarm(Date.now() + 3_600_000);
      await storage.deleteAlarm();
      await mail.call("counts", "default");
      expect(await inMs(storage)).toBeGreaterThan(3_500_000);
    });
  });
});

describe("an alarm handler that misbehaves", () => {
  it("R: that hangs does not hold up jobs that fall due meanwhile", async () => {
    const { name, inside } = open();
    let release: () => void = () => {};
    let rang = false;
    onAlarm.set(name, () => {
      rang = true;
      return new Promise<void>((resolve) => {
        release = resolve;
      });
    });
    await inside(async (shop) => {
      const { mail } = shop;
      mail.setAlarm(Date.now());
      await vi.waitFor(() => expect(rang).toBe(true));
      const first = mail.addJobSync("sleep", { ms: 0 }, { delay: 400 });
      const second = await mail.addJob("sleep", { ms: 0 }, { delay: 200 });
      const third = mail.queue("bulk").addJobSync("sleep", { ms: 0 }, { delay: 600 });
      for (const [queue, id] of [
        [mail, first],
        [mail, second],
        [mail.queue("bulk"), third],
      ] as const)
        await vi.waitFor(async () => expect(await queue.get(id)).toMatchObject({ state: "completed" }), {
          timeout: 3_000,
        });
      expect(alarms.running).toBe(1);
      release();
      await vi.waitFor(() => expect(mail.getAlarm()).toBeNull());
    });
  });

  it.each(["a retry", "a recurrence"])("R: that hangs does not hold up %s", async (what) => {
    const { name, inside } = open();
    let release: () => void = () => {};
    const rang = new Promise<void>((ring) =>
      onAlarm.set(name, () => {
        ring();
        return new Promise<void>((resolve) => {
          release = resolve;
        });
      }),
    );
    await inside(async ({ mail }) => {
      const runs: number[] = [];
      mail.on("job:plain", (_, { attempt }) => {
        runs.push(attempt);
        if (what === "a retry" && attempt === 1) throw new Error("first");
      });
      mail.setAlarm(Date.now());
      await rang;
      if (what === "a retry") mail.addJobSync("plain", { order: "one" }, { delay: 20, backoff: 200 });
      else await mail.schedule("often", { every: 300, name: "plain", payload: { order: "one" } });
      await vi.waitFor(() => expect(runs.slice(0, 2)).toEqual(what === "a retry" ? [1, 2] : [1, 1]), {
        timeout: 3_000,
      });
      await mail.unschedule("often");
      release();
      await vi.waitFor(() => expect(mail.getAlarm()).toBeNull());
    });
  });

  it("a job that hangs does not hold up those that fall due meanwhile, either", async () => {
    const { inside } = open();
    await inside(async ({ mail }) => {
      const long = mail.addJobSync("sleep", { ms: 60_000 }, { delay: 50 });
      await vi.waitFor(() => expect(alarms.running).toBe(1));
      const next = mail.addJobSync("sleep", { ms: 0 }, { delay: 300 });
      await vi.waitFor(async () => expect(await mail.get(next)).toMatchObject({ state: "completed" }), {
        timeout: 3_000,
      });
      expect(await mail.get(long)).toMatchObject({ state: "active" });
      await mail.cancel(long);
    });
  });

  it("that sets the alarm to now is called once for each alarm, and jobs run between", async () => {
    const { name, inside } = open();
    const calls: number[] = [];
    let left = 20;
    onAlarm.set(name, ({ mail }) => {
      calls.push(alarms.rung);
      if (left-- > 0) mail.setAlarm(left % 2 ? Date.now() : 0);
    });
    await inside(async ({ mail }) => {
      mail.setAlarm(Date.now());
      const id = mail.addJobSync("sleep", { ms: 0 }, { delay: 20 });
      await vi.waitFor(() => expect(calls).toHaveLength(21), { timeout: 10_000 });
      expect(new Set(calls).size).toBe(21);
      expect(await mail.get(id)).toMatchObject({ state: "completed" });
    });
  });

  it("that calls deleteAll() ends the object: nothing is stored, no alarm is set, and a later call begins afresh", async () => {
    const { name, inside } = open();
    let deleted = 0;
    onAlarm.set(name, async ({ storage }) => {
      await storage.deleteAll();
      deleted++;
    });
    await inside(async (shop) => {
      const { storage, mail } = shop;
      await mail.counts();
      mail.addJobSync("receipt", { order: "gone" }, { delay: "1h" });
      mail.addJobSync("sleep", { ms: 60_000 });
      await vi.waitFor(async () => expect(await mail.counts()).toMatchObject({ active: 1, delayed: 1 }));
      storage.transactionSync(() => mail.setAlarm(Date.now()));
      await vi.waitFor(() => expect(deleted).toBe(1));
      await vi.waitFor(() => expect(alarms.running).toBe(0), { timeout: 5_000 });
    });
    await inside(async ({ storage, mail }) => {
      expect(await storage.getAlarm()).toBeNull();
      expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE name LIKE 'quayside%'").toArray()).toEqual([]);
      expect(await mail.counts()).toMatchObject({ active: 0, delayed: 0, waiting: 0 });
      expect(await mail.list()).toEqual({ jobs: [] });
      expect(mail.getAlarm()).toBeNull();
      expect(await storage.getAlarm()).toBeNull();
      expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE name LIKE 'quayside%'").toArray()).toEqual([]);
      const id = await mail.addJob("sleep", { ms: 0 });
      await vi.waitFor(async () => expect(await mail.get(id)).toMatchObject({ state: "completed" }));
      expect(await mail.counts()).toMatchObject({ waiting: 0, active: 0 });
    });
    // The job that ran is gone with the rest.
    expect(faults).toEqual([expect.objectContaining({ code: "lease_lost" })]);
  });

  it("deleteAll() outside of an alarm, or twice, leaves no alarm and verbs that work", async () => {
    for (const times of [1, 2]) {
      const { object, inside } = open();
      await inside(async ({ storage, mail }) => {
        mail.addJobSync("receipt", { order: "gone" }, { delay: "1h" });
        mail.setAlarm(Date.now() + 3_600_000);
        for (let n = 0; n < times; n++) await storage.deleteAll();
      });
      await inside(async ({ mail }) => {
        expect(mail.getAlarm()).toBeNull();
        expect(await mail.counts()).toMatchObject({ waiting: 0, delayed: 0 });
        expect(await mail.list()).toEqual({ jobs: [] });
      });
      expect(await runDurableObjectAlarm(object)).toBe(false);
      await inside(async ({ mail }) => {
        const id = await mail.addJob("sleep", { ms: 0 });
        await vi.waitFor(async () => expect(await mail.get(id)).toMatchObject({ state: "completed" }));
      });
    }
  });

  it("an alarm or a schedule after 2189 is refused", async () => {
    const { inside } = open();
    await inside(async ({ storage, mail }) => {
      const refused = expect.objectContaining({ code: "invalid_option", message: expect.stringMatching(/2189|2190/) });
      for (const at of [Date.UTC(2190, 0, 1), Date.UTC(2262, 5, 1), 8.64e15, new Date(8.64e15), Number.MAX_VALUE])
        expect(() => mail.setAlarm(at)).toThrow(refused);
      for (const startAt of [Date.UTC(2190, 0, 1), new Date(8.64e15)])
        await expect(
          mail.schedule("far", { every: "1d", startAt, name: "receipt", payload: { order: "far" } }),
        ).rejects.toEqual(refused);
      expect(await mail.schedules()).toEqual([]);
      expect(await storage.getAlarm()).toBeNull();
      mail.setAlarm(Date.UTC(2189, 11, 31));
      expect(await storage.getAlarm()).toBe(Date.UTC(2189, 11, 31));
    });
  });
});
