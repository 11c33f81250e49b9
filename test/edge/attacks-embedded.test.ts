import { reset } from "cloudflare:test";
import { QuaysideError } from "@quayside/core";
import { afterEach, describe, expect, it, vi } from "vitest";
import { alarms, faults, onAlarm, type Shop } from "./embedded.ts";
import { freshName, inside, settled } from "./inside-shop.ts";

afterEach(async () => {
  await vi.waitFor(() => expect(alarms.running).toBe(0));
  faults.length = 0;
  onAlarm.clear();
  await reset();
});

/** Rows of attacks on a queue in somebody's own object, with what came of them. */

const undone = new Error("undone");
const later = (ms = 2) => scheduler.wait(ms);
const add = ({ mail }: Shop, order: string) => mail.addJobSync("receipt", { order }, { id: order, delay: "1h" });

type Attack = (shop: Shop) => Promise<unknown> | unknown;

describe("attacks Q: which jobs stand after a transaction", () => {
  const attacks: readonly (readonly [input: string, stand: readonly string[], attack: Attack])[] = [
    [
      "an inner one is undone and caught, the outer one is committed",
      ["a", "c"],
      (shop) =>
        shop.storage.transaction(async () => {
          add(shop, "a");
          await shop.storage
            .transaction(async () => {
              add(shop, "b");
              await later();
              throw undone;
            })
            .catch(() => {});
          add(shop, "c");
        }),
    ],
    [
      "an inner transactionSync is undone and caught",
      ["a", "c"],
      (shop) =>
        shop.storage.transaction(async () => {
          add(shop, "a");
          try {
            shop.storage.transactionSync(() => {
              add(shop, "b");
              throw undone;
            });
          } catch {}
          add(shop, "c");
        }),
    ],
    [
      "an inner one is rolled back, and the outer one too",
      [],
      (shop) =>
        shop.storage.transaction(async (txn) => {
          add(shop, "a");
          await shop.storage.transaction(async (inner) => {
            add(shop, "b");
            inner.rollback();
          });
          txn.rollback();
        }),
    ],
    [
      "rollback() is called twice",
      [],
      (shop) =>
        shop.storage.transaction(async (txn) => {
          add(shop, "a");
          txn.rollback();
          txn.rollback();
        }),
    ],
    [
      "it throws before it adds",
      [],
      (shop) =>
        shop.storage.transaction(async () => {
          throw undone;
        }),
    ],
    [
      "it throws undefined",
      [],
      (shop) =>
        shop.storage.transaction(async () => {
          add(shop, "a");
          throw undefined;
        }),
    ],
    [
      "it throws at once, not async",
      [],
      (shop) =>
        shop.storage.transaction((() => {
          add(shop, "a");
          throw undone;
        }) as never),
    ],
    ["its callback is no async function", ["a"], (shop) => shop.storage.transaction((() => add(shop, "a")) as never)],
    [
      "transactionSync returns a promise that rejects",
      ["a"],
      (shop) =>
        shop.storage.transactionSync(() => {
          add(shop, "a");
          const failing = Promise.reject(undone);
          failing.catch(() => {});
          return failing;
        }),
    ],
    ["transaction of nothing", [], (shop) => shop.storage.transaction(undefined as never)],
    ["transactionSync of nothing", [], (shop) => shop.storage.transactionSync(undefined as never)],
    ["transaction of a text", [], (shop) => shop.storage.transaction("x" as never)],
    [
      "the same callback twice, undone the first time",
      ["a"],
      async (shop) => {
        let times = 0;
        const callback = async () => {
          add(shop, "a");
          if (times++ === 0) throw undone;
        };
        await shop.storage.transaction(callback).catch(() => {});
        await shop.storage.transaction(callback);
      },
    ],
    [
      "two at once, one undone",
      ["b"],
      async (shop) => {
        await Promise.allSettled([
          shop.storage.transaction(async () => {
            add(shop, "a");
            await later();
            throw undone;
          }),
          shop.storage.transaction(async () => {
            add(shop, "b");
            await later();
          }),
        ]);
      },
    ],
    [
      "a batch of which one is refused, caught, then more",
      ["c"],
      (shop) =>
        shop.storage.transactionSync(() => {
          try {
            shop.mail.addJobsSync([
              { name: "receipt", payload: { order: "a" }, id: "a", delay: "1h" },
              { name: "receipt", payload: {} as never, id: "b", delay: "1h" },
            ]);
          } catch {}
          add(shop, "c");
        }),
    ],
    [
      "the same id is added in an undone one and after it",
      ["a"],
      async (shop) => {
        await shop.storage
          .transaction(async () => {
            add(shop, "a");
            throw undone;
          })
          .catch(() => {});
        add(shop, "a");
      },
    ],
    [
      "an add to another queue of the object is undone with it",
      [],
      (shop) =>
        shop.storage.transaction(async () => {
          shop.mail.queue("bulk").addJobSync("receipt", { order: "b" }, { delay: "1h" });
          add(shop, "a");
          await later();
          throw undone;
        }),
    ],
    [
      "a remove is undone with it",
      ["a"],
      async (shop) => {
        add(shop, "a");
        await shop.storage.transaction(async () => {
          await shop.mail.remove("a");
          await later();
          throw undone;
        });
      },
    ],
    [
      "deleteAll() between adds",
      ["b"],
      async (shop) => {
        add(shop, "a");
        await shop.storage.deleteAll();
        add(shop, "b");
      },
    ],
    [
      "deleteAll() twice at once",
      ["b"],
      async (shop) => {
        add(shop, "a");
        await Promise.all([shop.storage.deleteAll(), shop.storage.deleteAll()]);
        add(shop, "b");
      },
    ],
  ];
  it.each(attacks)("%s: %j", (_, stand, attack) =>
    inside(async (shop) => {
      await settled(shop);
      await shop.mail.clear({ state: "completed" });
      await shop.mail.counts();
      try {
        await attack(shop);
      } catch {}
      const { jobs } = await shop.mail.list();
      const ids = jobs.map(({ id }) => id).sort();
      expect(ids).toEqual(stand);
      expect(await shop.mail.counts()).toMatchObject({ delayed: ids.length, waiting: 0, active: 0 });
      expect(await shop.mail.queue("bulk").size()).toBe(0);
      const at = await shop.storage.getAlarm();
      if (ids.length > 0) expect(at).not.toBeNull();
      // It goes on working, in a transaction too.
      await shop.storage.transaction(async () => void (await shop.mail.addJob("sleep", { ms: 0 }, { id: "on" })));
      await vi.waitFor(async () => expect(await shop.mail.get("on")).toMatchObject({ state: "completed" }));
    }),
  );
});

describe("attacks R: what setAlarm takes", () => {
  const values: readonly (readonly [input: string, came: string, at: unknown])[] = [
    ["NaN", "invalid_option", Number.NaN],
    ["Infinity", "invalid_option", Number.POSITIVE_INFINITY],
    ["-1", "invalid_option", -1],
    ["an invalid Date", "invalid_option", new Date(Number.NaN)],
    ["the year 2190", "invalid_option", Date.UTC(2190, 0, 1)],
    ["the end of 2189", "set", Date.UTC(2190, 0, 1) - 1],
    ["half a millisecond", "set", Date.UTC(2100, 0, 1) + 0.5],
    ["a Date", "set", new Date(Date.UTC(2100, 0, 1))],
    ["null", "invalid_option", null],
    ["undefined", "invalid_option", undefined],
    ["a text", "invalid_option", "2100-01-01"],
    ["a text of digits", "invalid_option", "4102444800000"],
    ["1n", "invalid_option", 4102444800000n],
    ["an object", "invalid_option", {}],
    ["an object with getTime", "invalid_option", { getTime: () => "4102444800000" }],
    ["a symbol", "invalid_option", Symbol("at")],
    ["a list", "invalid_option", [4102444800000]],
  ];
  it.each(values)("%s: %s", (_, came, at) =>
    inside(async ({ mail }) => {
      let got = "set";
      try {
        mail.setAlarm(at as number);
      } catch (error) {
        got = error instanceof QuaysideError ? error.code : String(error);
      }
      expect(got).toBe(came);
      if (came === "set") expect(Number.isInteger(mail.getAlarm())).toBe(true);
      else expect(mail.getAlarm()).toBeNull();
      mail.deleteAlarm();
      expect(mail.getAlarm()).toBeNull();
    }),
  );
});

describe("attacks R: what an alarm's handler does", () => {
  type Deed = (shop: Shop, count: number) => unknown;
  const deeds: readonly (readonly [input: string, faults: number, deed: Deed])[] = [
    ["returns", 0, () => {}],
    [
      "adds a job in a transaction that it undoes",
      1,
      (shop) =>
        shop.storage.transaction(async () => {
          shop.mail.addJobSync("checked", { order: "lost" });
          await later();
          throw undone;
        }),
    ],
    ["throws nothing", 1, () => Promise.reject(undefined)],
    ["throws a symbol", 1, () => Promise.reject(Symbol("s"))],
    ["deletes its alarm", 0, ({ mail }) => mail.deleteAlarm()],
    [
      "pauses the queue and resumes it",
      0,
      async ({ mail }) => {
        await mail.pause();
        await mail.resume();
      },
    ],
    ["sets it for next year", 0, ({ mail }) => mail.setAlarm(Date.now() + 31_536_000_000)],
    ["sets it for a wrong instant", 1, ({ mail }) => mail.setAlarm(Number.NaN)],
    ["deletes all", 0, ({ storage }) => storage.deleteAll()],
  ];
  it.each(deeds)("%s: jobs go on, %i errors are told", (input, told, deed) => {
    const name = freshName();
    let calls = 0;
    onAlarm.set(name, (shop, count) => {
      calls++;
      return count === 0 ? deed(shop, count) : undefined;
    });
    return inside(async (shop, ran) => {
      shop.mail.setAlarm(Date.now());
      await vi.waitFor(() => expect(calls).toBeGreaterThan(0), { timeout: 3_000 });
      await vi.waitFor(() => expect(alarms.running).toBe(0), { timeout: 3_000 });
      expect([calls, faults.length]).toEqual([1, told]);
      await shop.mail.addJob("checked", { order: "kept" });
      await vi.waitFor(() => expect(ran).toEqual(["kept"]));
      const at = shop.mail.getAlarm();
      expect(at === null).toBe(!(told > 0 || input === "sets it for next year"));
      shop.mail.deleteAlarm();
    }, name);
  });
});
