import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { alarms, faults, onAlarm, type Shop } from "./embedded.ts";
import { freshName, inside, settled } from "./inside-shop.ts";

afterEach(async () => {
  await vi.waitFor(() => expect(alarms.running).toBe(0));
  faults.length = 0;
  onAlarm.clear();
  await reset();
});

/** Rows of attacks on user transactions that are undone after verbs of several queues: nothing of them may be left. */

const later = () => scheduler.wait(2);
const undone = new Error("undone");
type Attack = (shop: Shop) => Promise<unknown> | unknown;

/** All that the object has stored, without counters that only grow. */
function dump({ storage: { sql } }: Shop): string {
  const tables = [...sql.exec<{ name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")];
  return JSON.stringify(
    tables
      .filter(({ name }) => !name.startsWith("_cf_"))
      .map(({ name }) => [name, [...sql.exec(`SELECT * FROM "${name}"`).raw()]]),
  );
}

const other = ({ mail }: Shop) => mail.queue("other");
const far = { delay: "1h" } as const;

/** Jobs of both queues: a delayed one, a failed one, a group, a flow, a recurrence. */
async function stock(shop: Shop): Promise<void> {
  for (const queue of [shop.mail, other(shop)]) {
    await queue.addJobs([
      { name: "receipt", payload: { order: "waits" }, id: "waits", ...far },
      { name: "receipt", payload: { order: "grouped" }, id: "grouped", group: { key: "g" }, ...far },
      { name: "receipt", payload: { order: "keyed" }, id: "keyed", dedupe: { key: "k", mode: "replace" }, ...far },
    ] as never);
    await queue.schedule("hourly", { every: "1h", name: "receipt", payload: { order: "recurs" } });
  }
}

const verbs: readonly (readonly [verb: string, act: Attack])[] = [
  ["addJobSync", (shop) => [shop.mail, other(shop)].map((queue) => queue.addJobSync("receipt", { order: "new" }))],
  [
    "addJobsSync of groups",
    (shop) =>
      other(shop).addJobsSync(
        [1, 2, 3].map((n) => ({ name: "receipt", payload: { order: `${n}` }, group: { key: "h", limit: n } })) as never,
      ),
  ],
  [
    "addJob",
    (shop) => Promise.all([shop.mail, other(shop)].map((queue) => queue.addJob("receipt", { order: "new" }, far))),
  ],
  [
    "addFlow",
    (shop) =>
      other(shop).addFlow({
        name: "receipt",
        payload: { order: "root" },
        children: [{ name: "receipt", payload: { order: "child" }, ...far }],
      } as never),
  ],
  [
    "a replaced key",
    (shop) => shop.mail.addJobSync("receipt", { order: "again" }, { dedupe: { key: "k", mode: "replace" }, ...far }),
  ],
  [
    "a throttled key",
    (shop) =>
      shop.mail.addJobSync(
        "receipt",
        { order: "again" },
        { dedupe: { key: "t", mode: "throttle", ttl: "1h" }, ...far },
      ),
  ],
  ["pause", (shop) => Promise.all([shop.mail.pause(), other(shop).pause()])],
  [
    "pause and resume",
    async (shop) => {
      await other(shop).pause();
      await other(shop).resume();
    },
  ],
  [
    "configure",
    (shop) => other(shop).configure({ maxActive: 1, rateLimit: { max: 1, per: "1h" }, keep: { completed: 0 } }),
  ],
  ["cancel", (shop) => Promise.all([shop.mail.cancel("waits"), other(shop).cancel("waits")])],
  ["remove", (shop) => Promise.all([shop.mail.remove("grouped"), other(shop).remove("keyed")])],
  ["promote", (shop) => other(shop).promote("waits")],
  [
    "update",
    (shop) => Promise.all([shop.mail.update("waits", { priority: 5 }), other(shop).update("waits", { delay: "2h" })]),
  ],
  ["clear", (shop) => Promise.all([shop.mail.clear(), other(shop).clear()])],
  [
    "cancel and retry",
    async (shop) => {
      await other(shop).cancel("waits");
      await other(shop).retry("waits");
    },
  ],
  ["retryAll", (shop) => other(shop).retryAll()],
  [
    "schedule",
    (shop) =>
      Promise.all([
        shop.mail.schedule("new", { every: "1m", name: "receipt", payload: { order: "r" } }),
        other(shop).schedule("hourly", { every: "2h", name: "receipt", payload: { order: "r" } }),
      ]),
  ],
  ["unschedule", (shop) => Promise.all([shop.mail.unschedule("hourly"), other(shop).unschedule("hourly")])],
  [
    "schedule and unschedule",
    async (shop) => {
      await other(shop).schedule("brief", { every: "1m", name: "receipt", payload: { order: "r" } });
      await other(shop).unschedule("brief");
    },
  ],
  ["setAlarm", (shop) => shop.mail.setAlarm(Date.now() + 60_000)],
  [
    "setAlarm, an add and deleteAlarm",
    (shop) => {
      shop.mail.setAlarm(Date.now() + 60_000);
      other(shop).addJobSync("receipt", { order: "x" });
      shop.mail.deleteAlarm();
    },
  ],
  ["a queue of a new name", (shop) => shop.mail.queue("never seen").addJobSync("receipt", { order: "x" })],
  [
    "ten queues of new names",
    (shop) => Array.from({ length: 10 }, (_, n) => shop.mail.queue(`new-${n}`).addJobSync("receipt", { order: "x" })),
  ],
  [
    "counts and list of both",
    async (shop) => {
      for (const queue of [shop.mail, other(shop)]) {
        await queue.counts();
        await queue.list();
      }
    },
  ],
];

const ways: readonly (readonly [way: string, undo: (shop: Shop, act: Attack) => Promise<unknown>])[] = [
  [
    "undone by a throw",
    (shop, act) =>
      shop.storage
        .transaction(async () => {
          await act(shop);
          await later();
          throw undone;
        })
        .catch(() => {}),
  ],
  [
    "rolled back",
    (shop, act) =>
      shop.storage.transaction(async (txn) => {
        await act(shop);
        txn.rollback();
      }),
  ],
  [
    "an inner one undone, the outer one committed",
    (shop, act) =>
      shop.storage.transaction(async () => {
        await shop.storage
          .transaction(async () => {
            await act(shop);
            throw undone;
          })
          .catch(() => {});
        await later();
      }),
  ],
];

describe("attacks Q: what is left of verbs of two queues", () => {
  const rows = verbs.flatMap(([verb, act], index) =>
    ways.filter((_, way) => way === 0 || way === 1 + (index % 2)).map(([way, undo]) => [verb, way, act, undo] as const),
  );
  it.each(rows)("%s, %s: nothing", (_, __, act, undo) =>
    inside(async (shop) => {
      await stock(shop);
      await settled(shop);
      await shop.mail.clear("completed");
      const state = async () => [
        (await shop.storage.getAlarm()) !== null,
        await shop.mail.counts(),
        await other(shop).counts(),
        (await shop.mail.schedules()).length,
        shop.mail.getAlarm(),
      ];
      const [rows, before] = [dump(shop), await state()];
      await undo(shop, act);
      expect(dump(shop)).toBe(rows);
      expect(await state()).toEqual(before);
      // Later calls behave as if the transaction had never been.
      const [a, b] = [
        await shop.mail.addJob("receipt", { order: "a" }),
        await other(shop).addJob("receipt", { order: "b" }),
      ];
      await vi.waitFor(async () =>
        expect([(await shop.mail.get(a))?.state, (await other(shop).get(b))?.state]).toEqual([
          "completed",
          "completed",
        ]),
      );
      expect(faults).toEqual([]);
    }),
  );
  it("an object that is entered again after one was undone agrees with what it remembers", async () => {
    const name = freshName();
    await inside(async (shop) => {
      await stock(shop);
      await shop.storage
        .transaction(async () => {
          await shop.mail.pause();
          await other(shop).clear();
          throw undone;
        })
        .catch(() => {});
    }, name);
    const state = await runInDurableObject(env.SHOP.getByName(name), async (shop: Shop) => [
      (await shop.mail.counts()).paused,
      (await other(shop).counts()).delayed,
    ]);
    expect(state).toEqual([false, 4]);
  });
});
