import type { NewJob } from "../../job/new-job.ts";
import { everything } from "../../plugins/everything.ts";
import { enqueueWithin } from "../../plugins/quota.ts";
import { runTurn } from "../../store/aftermath.ts";
import { counts, getJob } from "../../store/inspect.ts";
import { Mint } from "../../store/mint.ts";
import { scan, startingWith } from "../../store/operations.ts";
import { Plugins } from "../../store/plugin.ts";
import type { Program, Store } from "../../store/store.ts";
import type { Turn } from "../../store/turn.ts";
import type { EnqueueReceipt, JobCounts, NumberedRequest, Quota } from "../../store/verbs.ts";
import type { TestRunner } from "../harness.ts";
import { checkInvariants, snapshot } from "../invariants.ts";
import type { StoreCase } from "../store-suite.ts";

const START = Date.UTC(2026, 0, 1);

/** A job each 250 ms. */
const ADA: Quota = { subject: "ada", max: 4, perMs: 1_000 };
const BOB: Quota = { ...ADA, subject: "bob" };

const job = (part: Partial<NewJob> = {}): NewJob => ({ queue: "mail", name: "email", payload: "1", ...part });
const jobs = (count: number, part?: Partial<NewJob>): NewJob[] => Array.from({ length: count }, () => job(part));

/** What a process does that owns a store: adds within quotas, at instants that the case sets. */
function owner(store: Store, seed = 0) {
  const mint = new Mint(() => seed);
  let now = START;
  const run = async <T>(body: (turn: Turn) => Program<T>): Promise<T> => {
    const surroundings = {
      now,
      horizon: now,
      mint,
      random: () => 0,
      plugins: new Plugins(everything()),
      memory: new Map(),
    };
    return (await store.transact(() => runTurn(surroundings, body))).result;
  };
  return {
    run,
    move(ms: number): void {
      now += ms;
    },
    async add(quota: Quota, added: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]> {
      const admission = await run((turn) => enqueueWithin(turn, added, request, quota));
      if (admission.refused) throw admission.refused;
      return admission.receipts;
    },
    waiting: async (queue = "mail") => ((await run((turn) => counts(turn, queue))) as JobCounts).waiting,
  };
}

/** How a queue's callers are held to their quotas, on any store: this needs nothing of a driver. */
export function quotaCases(check: StoreCase, expect: TestRunner["expect"]): void {
  const refusedFor = (promise: Promise<unknown>, retryAfterMs: number) =>
    expect(promise).rejects.toMatchObject({ code: "rate_limited", details: { retryAfterMs, limit: 4, perMs: 1_000 } });

  check("lets through what its bucket holds, then one as each falls due, to the millisecond", async (store) => {
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
  });

  check("loses and gives away nothing by rounding, however the time is cut", async (store) => {
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
  });

  check("is spent in the transaction of the add, whichever store object it comes by", async (store, { another }) => {
    const owners = [owner(store, 0.1), owner(await another(), 0.2), owner(await another(), 0.3)];
    const adds = await Promise.allSettled(
      Array.from({ length: 30 }, (_, index) => owners[index % 3]?.add(ADA, [job({ payload: `${index}` })])),
    );
    expect(adds.filter(({ status }) => status === "fulfilled")).toHaveLength(4);
    expect(await owners[0]?.waiting()).toBe(4);
  });

  check("refuses a call as a whole, and writes nothing of it", async (store) => {
    const { add } = owner(store);
    await add(ADA, jobs(2));
    const before = await store.transact(snapshot);
    const mixed = [job({ id: "a", dedupe: { key: "k", mode: "drop" } }), job({ group: { key: "g", limit: 3 } }), job()];
    await refusedFor(add(ADA, mixed, { sender: "ada", number: 1, digest: "d" }), 250);
    expect(await store.transact(snapshot)).toEqual(before);
    expect(await store.transact(checkInvariants)).toEqual([]);
  });

  check("is not spent by jobs that stand already, nor by a request that was done before", async (store) => {
    const { add, waiting } = owner(store);
    const request = { sender: "ada", number: 1, digest: "d" };
    const kept = [job({ id: "a" }), job({ dedupe: { key: "k", mode: "replace" } }), job()];
    const receipts = await add(ADA, kept, request);
    for (let turn = 0; turn < 9; turn++) {
      expect(await add(ADA, kept, request)).toEqual(receipts);
      const again = await add(ADA, [job({ id: "a" }), job({ dedupe: { key: "k", mode: "replace" }, payload: "2" })]);
      expect(again.map(({ deduplicated }) => deduplicated)).toEqual([true, true]);
    }
    await add(ADA, [job({ id: "a" }), job({ id: "b" }), job({ id: "b" })]);
    expect(await waiting()).toBe(4);
    await refusedFor(add(ADA, [job({ id: "a" }), job()]), 250);
    expect(await add(ADA, [job({ id: "a" })])).toEqual([{ id: "a", deduplicated: true }]);
  });

  check("is each subject's own, in each queue", async (store) => {
    const { add, waiting } = owner(store);
    await add(ADA, jobs(4));
    await refusedFor(add(ADA, jobs(1)), 250);
    await add(BOB, jobs(4));
    await add(ADA, jobs(4, { queue: "mail/a" }));
    await refusedFor(add(BOB, [job({ queue: "other" }), job()]), 250);
    expect(await waiting("other")).toBe(0);
  });

  check("refuses for good what its bucket never holds", async (store) => {
    const { add, waiting } = owner(store);
    await expect(add(ADA, jobs(5))).rejects.toMatchObject({ code: "too_large", details: { limit: 4 } });
    expect(await waiting()).toBe(0);
    await add(ADA, jobs(4));
  });

  check("does not wait out a clock that was set back, nor give more after a leap", async (store) => {
    const { add, move } = owner(store);
    await add(ADA, jobs(4));
    move(-3_600_000);
    await refusedFor(add(ADA, jobs(1)), 250);
    move(250);
    await add(ADA, jobs(1));
    move(3_600_000);
    await add(ADA, jobs(4));
    await refusedFor(add(ADA, jobs(1)), 250);
  });

  check("that changes holds as it was given last", async (store) => {
    const { add } = owner(store);
    await add(ADA, jobs(4));
    const wider = { ...ADA, max: 6 };
    await add(wider, jobs(2));
    await expect(add({ ...wider, perMs: 6_000 }, jobs(1))).rejects.toMatchObject({ details: { retryAfterMs: 1_000 } });
    await refusedFor(add(ADA, jobs(1)), 250);
  });

  check("leaves nothing behind of those who have used none for a while", async (store) => {
    const { add, move, run } = owner(store);
    for (let one = 0; one < 40; one++) {
      await add({ ...ADA, subject: `caller-${one}` }, jobs(1));
      move(1_000);
    }
    const cells = await run(() => scan("cells", startingWith("quota/mail"), 100));
    expect(cells.length).toBeLessThanOrEqual(2);
  });

  check("that cannot be is refused, by its name", async (store) => {
    const { add, run } = owner(store);
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
    expect(await run((turn) => getJob(turn, "mail", "a"))).toBeUndefined();
  });
}
