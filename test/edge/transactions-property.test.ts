import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { everything } from "@quayside/core";
import { StoreDriver } from "@quayside/core/engine";
import { SqlStore } from "@quayside/edge/engine";
import fc from "fast-check";
import { afterEach, expect, inject, it, vi } from "vitest";
import { alarms, faults, type Shop } from "./embedded.ts";

afterEach(async () => {
  await vi.waitFor(() => expect(alarms.running).toBe(0));
  faults.length = 0;
  await reset();
});

const HOUR_MS = 3_600_000;

/** One thing that the object's code does. Jobs whose number is `hold` run until an `end` lets them go. */
type Step =
  | { readonly do: "add"; readonly sync: boolean; readonly delay: "none" | "1h" | "2h"; readonly hold: boolean }
  | { readonly do: "alarm"; readonly inHours: number | null }
  | { readonly do: "cancel" | "end"; readonly which: number }
  | { readonly do: "wait"; readonly on: "microtask" | "timer" | "storage" | "disk" }
  | Transaction;

interface Transaction {
  readonly do: "transaction";
  readonly sync: boolean;
  readonly end: "return" | "throw" | "rollback" | "rollback and throw";
  readonly steps: readonly Step[];
}

const leaf: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("add" as const),
      sync: fc.boolean(),
      delay: fc.constantFrom("none" as const, "1h" as const, "2h" as const),
      hold: fc.boolean(),
    }),
  },
  fc.record({ do: fc.constant("alarm" as const), inHours: fc.constantFrom(null, 3, 4, 0.5) }),
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat(9) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("end" as const), which: fc.nat(9) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      on: fc.constantFrom("microtask" as const, "timer" as const, "storage" as const, "disk" as const),
    }),
  },
);

const { step: steps } = fc.letrec<{ step: Step; transaction: Transaction }>((tie) => ({
  step: fc.oneof({ depthSize: "small", maxDepth: 3 }, { weight: 3, arbitrary: leaf }, tie("transaction")),
  transaction: fc.record({
    do: fc.constant("transaction" as const),
    sync: fc.boolean(),
    end: fc.constantFrom("return", "throw", "rollback", "rollback and throw"),
    steps: fc.array(tie("step"), { maxLength: 5 }),
  }),
}));

const undone = new Error("undone");

/** The stored records that transactions decide over. */
interface Stored {
  readonly delayed: ReadonlyMap<string, number>;
  readonly due: ReadonlySet<string>;
  readonly alarm: number | null;
}

/** Runs steps in an object, and says beside it what should have come of them. */
class Run {
  #stored: Stored = { delayed: new Map(), due: new Set(), alarm: null };
  #added = 0;
  readonly #ran: string[] = [];
  readonly #told: string[] = [];
  readonly #held = new Map<string, () => void>();
  readonly #shop: Shop;
  readonly #start = Date.now();

  constructor(shop: Shop) {
    this.#shop = shop;
    const { mail } = shop;
    const handle = ({ order }: { order: string }) => {
      this.#ran.push(order);
      if (!order.startsWith("held")) return undefined;
      return new Promise<void>((resolve) => void this.#held.set(order, resolve));
    };
    mail.on("job:plain", handle);
    mail.on("job:checked", handle);
    mail.on("completed", ({ job }) => void this.#told.push(job.id));
  }

  async step(step: Step): Promise<void> {
    const { mail, storage } = this.#shop;
    if (step.do === "transaction") return step.sync ? this.#inSync(step) : this.#inAsync(step);
    if (step.do === "wait") {
      if (step.on === "microtask") await undefined;
      else if (step.on === "timer") await scheduler.wait(1);
      else if (step.on === "storage") await storage.getAlarm();
      else await storage.sync();
    } else if (step.do === "cancel") {
      const id = pick([...this.#stored.delayed.keys()], step.which);
      if (id === undefined) return;
      await mail.cancel(id);
      this.#delay((delayed) => delayed.delete(id));
    } else if (step.do === "add" && !step.sync) {
      const { id, options } = this.#job(step);
      await mail.addJob("checked", { order: id }, options);
      this.#note(id, step.delay);
    } else this.#now(step);
  }

  /** As `step`, without an await: what has one is left out. */
  #now(step: Step): void {
    const { mail } = this.#shop;
    if (step.do === "transaction") this.#inSync(step);
    else if (step.do === "add") {
      const { id, options } = this.#job(step);
      mail.addJobSync("plain", { order: id }, options);
      this.#note(id, step.delay);
    } else if (step.do === "alarm") {
      const alarm = step.inHours === null ? null : this.#start + step.inHours * HOUR_MS;
      if (alarm === null) mail.deleteAlarm();
      else mail.setAlarm(alarm);
      this.#stored = { ...this.#stored, alarm };
    } else if (step.do === "end") {
      const id = pick([...this.#held.keys()], step.which);
      if (id === undefined) return;
      this.#held.get(id)?.();
      this.#held.delete(id);
    }
  }

  #inSync({ steps, end }: Transaction): void {
    const before = this.#stored;
    const throws = end !== "return";
    try {
      this.#shop.storage.transactionSync(() => {
        for (const step of steps) this.#now(step);
        if (throws) throw undone;
      });
    } catch (error) {
      expect(error).toBe(undone);
      this.#stored = before;
    }
  }

  async #inAsync({ steps, end }: Transaction): Promise<void> {
    const before = this.#stored;
    const started = new Set(this.#ran);
    const told = this.#told.length;
    try {
      await this.#shop.storage.transaction(async (txn) => {
        for (const step of steps) await this.step(step);
        // Time for the worker to settle in it what has ended in it, if it did.
        if (steps.some((step) => step.do === "end")) await scheduler.wait(5);
        expect(this.#ran.filter((id) => !started.has(id))).toEqual([]);
        expect(this.#told.slice(told)).toEqual([]);
        if (end.startsWith("rollback")) {
          txn.rollback();
          this.#stored = before;
        }
        if (end.endsWith("throw")) throw undone;
      });
    } catch (error) {
      if (error !== undone) throw error;
      this.#stored = before;
    }
  }

  /** Store, memory, alarm and what ran, against what should be. */
  async check(): Promise<void> {
    const { mail, storage } = this.#shop;
    const { delayed, due, alarm } = this.#stored;
    const held = () => [...due].filter((id) => this.#held.has(id));
    await vi.waitFor(
      () => {
        expect([...this.#ran].sort()).toEqual([...due].sort());
        expect([...this.#told].sort()).toEqual([...due].filter((id) => !this.#held.has(id)).sort());
      },
      { interval: 1, timeout: 3_000 },
    );
    const counts = await mail.counts();
    expect(counts).toMatchObject({ waiting: 0, delayed: delayed.size, active: held().length, failed: 0 });
    // Another store, which remembers nothing, counts the same.
    expect(await new StoreDriver(new SqlStore(storage), { plugins: everything() }).counts("default")).toEqual(counts);
    const { jobs } = await mail.list({ limit: 1_000 });
    const ids = jobs.filter(({ state }) => state !== "cancelled").map(({ id }) => id);
    expect(ids.sort()).toEqual([...delayed.keys(), ...due].sort());
    for (const { attempts, interruptions } of jobs) expect([attempts <= 1, interruptions]).toEqual([true, 0]);
    expect(mail.getAlarm()).toBe(alarm);
    const needed = Math.min(alarm ?? Number.POSITIVE_INFINITY, ...delayed.values());
    if (needed < Number.POSITIVE_INFINITY)
      expect((await storage.getAlarm()) ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(needed + 5_000);
    expect(faults).toEqual([]);
  }

  async end(): Promise<void> {
    for (const release of this.#held.values()) release();
    this.#held.clear();
    await this.check();
  }

  #job({ delay, hold }: Extract<Step, { do: "add" }>) {
    const id = `${hold && this.#held.size < 5 ? "held" : "job"}-${this.#added++}`;
    return { id, options: { id, ...(delay !== "none" && { delay }) } };
  }

  #note(id: string, delay: "none" | "1h" | "2h"): void {
    if (delay === "none") this.#stored = { ...this.#stored, due: new Set([...this.#stored.due, id]) };
    else this.#delay((delayed) => delayed.set(id, Date.now() + (delay === "1h" ? 1 : 2) * HOUR_MS));
  }

  #delay(change: (delayed: Map<string, number>) => void): void {
    const delayed = new Map(this.#stored.delayed);
    change(delayed);
    this.#stored = { ...this.#stored, delayed };
  }
}

const pick = <T>(from: readonly T[], which: number): T | undefined => from[which % Math.max(1, from.length)];

const { nightly, seed = Date.now() % 2 ** 31 } = inject("hostile");
const RUNS = nightly ? 1_000 : 60;

it(`R3: after any transaction of the object's code, store, memory, alarm and what ran agree (${RUNS} runs, seed ${seed})`, {
  timeout: RUNS * 1_000,
}, async () => {
  let objects = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 8 }), async (sequence) => {
      const object = env.SHOP.getByName(`property-${objects++}`);
      await runInDurableObject(object, async (shop: Shop) => {
        const run = new Run(shop);
        // There is always something that may end.
        const holding = { do: "add", sync: true, delay: "none", hold: true } as const;
        for (const step of [holding, holding, ...sequence]) {
          await run.step(step);
          await run.check();
        }
        await run.end();
      });
    }),
    { numRuns: RUNS, seed, endOnFailure: false, interruptAfterTimeLimit: RUNS * 900, markInterruptAsFailure: true },
  );
  console.info(`Transactions of an object's code: ${RUNS} runs, seed ${seed}.`);
});
