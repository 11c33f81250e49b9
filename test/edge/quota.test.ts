import { env } from "cloudflare:workers";
import { everything, systemClock } from "@quayside/core";
import {
  type EnqueueReceipt,
  type NewJob,
  type NumberedRequest,
  type Program,
  type Store,
  StoreDriver,
  scan,
  startingWith,
  type Transaction,
} from "@quayside/core/engine";
import { checkInvariants, snapshot } from "@quayside/testing";
import { describe, expect, it } from "vitest";
// biome-ignore lint/style/noRestrictedImports: a quota is a program that no public driver runs by itself.
import { enqueueWithin, type Quota } from "../../packages/edge/src/object/caller-quota.ts";
import { recordsIn } from "./in-object.ts";

const START = Date.UTC(2026, 0, 1);

/** A job each 250 ms. */
const ADA: Quota = { subject: "ada", max: 4, perMs: 1_000 };
const BOB: Quota = { ...ADA, subject: "bob" };

const job = (part: Partial<NewJob> = {}): NewJob => ({ queue: "mail", name: "email", payload: "1", ...part });
const jobs = (count: number, part?: Partial<NewJob>): NewJob[] => Array.from({ length: count }, () => job(part));

/** A process that owns a store: adds within quotas, at instants that the case sets. */
class Owner extends StoreDriver {
  #now = START;

  constructor(store: Store, seed = 0) {
    const now = () => this.#now;
    super(store, { plugins: everything(), clock: { ...systemClock, now, monotonic: now }, random: () => seed });
  }

  move(ms: number): void {
    this.#now += ms;
  }

  async add(quota: Quota, added: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]> {
    const admission = await this.run((tx) => enqueueWithin(tx, added, request, quota));
    if (admission.refused) throw admission.refused;
    return admission.receipts;
  }

  read<T>(body: (tx: Transaction) => Program<T>): Promise<T> {
    return this.run(body);
  }

  async waiting(queue = "mail"): Promise<number> {
    return (await this.counts(queue)).waiting;
  }
}

function owner(store: Store, seed?: number) {
  const of = new Owner(store, seed);
  return {
    add: of.add.bind(of),
    move: of.move.bind(of),
    read: of.read.bind(of),
    waiting: of.waiting.bind(of),
    get: of.get.bind(of),
  };
}

/** Runs a case on the records of an object of its own. */
const onRecords =
  (run: (store: Store, records: { readonly another: () => Promise<Store> }) => Promise<void>) =>
  async (): Promise<void> => {
    const records = await recordsIn(env.SMOKE.get(env.SMOKE.newUniqueId()));
    await run(records.open(), { another: async () => records.open() });
  };

describe("a quota", () => {
  const refusedFor = (promise: Promise<unknown>, retryAfterMs: number) =>
    expect(promise).rejects.toMatchObject({ code: "rate_limited", details: { retryAfterMs, limit: 4, perMs: 1_000 } });

  it(
    "lets through what its bucket holds, then one as each falls due, to the millisecond",
    onRecords(async (store) => {
      const { add, move, waiting } = owner(store);
      await add(ADA, jobs(3));
      await add(ADA, jobs(1));
      await refusedFor(add(ADA, jobs(1)), 250);
      await refusedFor(add(ADA, jobs(3)), 750);
      move(249);
      await refusedFor(add(ADA, jobs(1)), 1);
      move(1);
      await add(ADA, jobs(1));
      await refusedFor(add(ADA, jobs(1)), 250);
      move(10_000);
      await refusedFor(
        add(ADA, jobs(1)).then(() => add(ADA, jobs(4))),
        250,
      );
      expect(await waiting()).toBe(6);
    }),
  );

  it(
    "loses and gives away nothing by rounding, however the time is cut",
    onRecords(async (store) => {
      const { add, move } = owner(store);
      const odd: Quota = { subject: "ada", max: 7, perMs: 1_013 };
      let added = 0;
      for (let ms = 0; ms <= 3 * 1_013; ms++) {
        await add(odd, jobs(1)).then(
          () => added++,
          () => {},
        );
        move(1);
      }
      expect(added).toBe(7 + 3 * 7);
    }),
  );

  it(
    "is spent in the transaction of the add, whichever store object it comes by",
    onRecords(async (store, { another }) => {
      const owners = [owner(store, 0.1), owner(await another(), 0.2), owner(await another(), 0.3)];
      const adds = await Promise.allSettled(
        Array.from({ length: 30 }, (_, index) => owners[index % 3]?.add(ADA, [job({ payload: `${index}` })])),
      );
      expect(adds.filter(({ status }) => status === "fulfilled")).toHaveLength(4);
      expect(await owners[0]?.waiting()).toBe(4);
    }),
  );

  it(
    "refuses a call as a whole, and writes nothing of it",
    onRecords(async (store) => {
      const { add } = owner(store);
      await add(ADA, jobs(2));
      const before = await store.transact(snapshot);
      const mixed = [
        job({ id: "a", dedupe: { key: "k", mode: "drop" } }),
        job({ group: { key: "g", limit: 3 } }),
        job(),
      ];
      await refusedFor(add(ADA, mixed, { sender: "ada", number: 1, digest: "d" }), 250);
      expect(await store.transact(snapshot)).toEqual(before);
      expect(await store.transact(checkInvariants)).toEqual([]);
    }),
  );

  it(
    "is not spent by jobs that stand already, nor by a request that was done before",
    onRecords(async (store) => {
      const { add, waiting } = owner(store);
      const request = { sender: "ada", number: 1, digest: "d" };
      const kept = [job({ id: "a" }), job({ dedupe: { key: "k", mode: "replace" } }), job()];
      const receipts = await add(ADA, kept, request);
      for (let round = 0; round < 9; round++) {
        expect(await add(ADA, kept, request)).toEqual(receipts);
        const again = await add(ADA, [job({ id: "a" }), job({ dedupe: { key: "k", mode: "replace" }, payload: "2" })]);
        expect(again.map(({ deduplicated }) => deduplicated)).toEqual([true, true]);
      }
      await add(ADA, [job({ id: "a" }), job({ id: "b" }), job({ id: "b" })]);
      expect(await waiting()).toBe(4);
      await refusedFor(add(ADA, [job({ id: "a" }), job()]), 250);
      expect(await add(ADA, [job({ id: "a" })])).toEqual([{ id: "a", deduplicated: true }]);
    }),
  );

  it(
    "is each subject's own, in each queue",
    onRecords(async (store) => {
      const { add, waiting } = owner(store);
      await add(ADA, jobs(4));
      await refusedFor(add(ADA, jobs(1)), 250);
      await add(BOB, jobs(4));
      await add(ADA, jobs(4, { queue: "mail/a" }));
      await refusedFor(add(BOB, [job({ queue: "other" }), job()]), 250);
      expect(await waiting("other")).toBe(0);
    }),
  );

  it(
    "refuses for good what its bucket never holds",
    onRecords(async (store) => {
      const { add, waiting } = owner(store);
      await expect(add(ADA, jobs(5))).rejects.toMatchObject({ code: "too_large", details: { limit: 4 } });
      expect(await waiting()).toBe(0);
      await add(ADA, jobs(4));
    }),
  );

  it(
    "does not wait out a clock that was set back, nor give more after a leap",
    onRecords(async (store) => {
      const { add, move } = owner(store);
      await add(ADA, jobs(4));
      move(-3_600_000);
      await refusedFor(add(ADA, jobs(1)), 250);
      move(250);
      await add(ADA, jobs(1));
      move(3_600_000);
      await add(ADA, jobs(4));
      await refusedFor(add(ADA, jobs(1)), 250);
    }),
  );

  it(
    "that changes holds as it was given last",
    onRecords(async (store) => {
      const { add } = owner(store);
      await add(ADA, jobs(4));
      const wider = { ...ADA, max: 6 };
      await add(wider, jobs(2));
      await expect(add({ ...wider, perMs: 6_000 }, jobs(1))).rejects.toMatchObject({
        details: { retryAfterMs: 1_000 },
      });
      await refusedFor(add(ADA, jobs(1)), 250);
    }),
  );

  it(
    "leaves nothing behind of those who have used none for a while",
    onRecords(async (store) => {
      const { add, move, read } = owner(store);
      for (let one = 0; one < 40; one++) {
        await add({ ...ADA, subject: `caller-${one}` }, jobs(1));
        move(1_000);
      }
      const cells = await read(() => scan("cells", startingWith("quota/mail"), 100));
      expect(cells.length).toBeLessThanOrEqual(2);
    }),
  );

  it(
    "that cannot be is refused, by its name",
    onRecords(async (store) => {
      const { add, get } = owner(store);
      const wrong = [
        { max: 0 },
        { max: 1.5 },
        { perMs: 0 },
        { perMs: Number.POSITIVE_INFINITY },
        { max: 2 ** 30, perMs: 2 ** 30 },
        { subject: "" },
        { subject: "\ud800" },
      ];
      for (const part of wrong) {
        const name = "subject" in part ? "quota.subject" : "quota";
        await expect(add({ ...ADA, ...part }, [job({ id: "a" })])).rejects.toMatchObject({
          code: "invalid_option",
          details: { option: name },
        });
      }
      expect(await get("mail", "a")).toBeUndefined();
    }),
  );
});
