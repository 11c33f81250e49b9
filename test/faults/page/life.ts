import { indexedDbDriver, outboxDriver } from "@quayside/browser";
import { type JobRecord, memoryDriver, QuaysideError, Queue } from "@quayside/core";
import { createManualClock } from "@quayside/testing";

/** What a tab says of itself. `at` is in ms since epoch. */
export interface Told {
  readonly tab: string;
  readonly what: "began" | "aborted" | "completed" | "released" | "error" | "shown" | "done" | "idle" | "forwarded";
  readonly number?: number;
  readonly interruptions?: number;
  readonly code?: string;
  readonly persisted?: boolean;
  readonly at: number;
}

/** What the tests of many tabs call from outside. */
export interface Life {
  /** Adds so many jobs, numbered on from those that it added before. */
  add(name: "count" | "hold", count: number): Promise<void>;
  /** Leaves so many numbers out. */
  skip(count: number): void;
  run(concurrency: number): Promise<void>;
  stop(): Promise<void>;
  counts(): Promise<{ waiting: number; delayed: number; active: number; completed: number; failed: number }>;
  /** The numbers that this tab's handlers have run, in order. */
  runs(): readonly number[];
  completed(): Promise<{ numbers: number[]; interrupted: number }>;
  /** Adds a job to this tab's outbox: for tabs that have one. */
  send(): Promise<void>;
  /** Resolves once the outbox has forwarded everything and no transaction is open in this tab. */
  rested(): Promise<void>;
  /** The job of this number, if it is kept or waits. */
  job(number: number): Promise<JobRecord | undefined>;
  /** Ends the handler of `hold` that runs with this number. */
  finish(number: number): void;
  /** Moves this tab's clock, and has the store answer before each step but the first. */
  advance(stepMs: number, steps: number): Promise<void>;
}

declare global {
  interface Window {
    life: Life;
    tell(told: Told): Promise<void>;
  }
}

interface Jobs {
  count: number;
  hold: number;
}

const query = new URLSearchParams(location.search);
const tab = query.get("tab") as string;
const clock = query.has("manual") ? createManualClock(Date.now()) : undefined;
const driver = indexedDbDriver({
  name: "life",
  tabs: query.get("tabs") === "leader" ? "leader" : "all",
  ...(clock && { clock }),
});
const queue = new Queue<Jobs>("work", driver, { clock });
const tell = (what: Told["what"], more: Partial<Told> = {}): void =>
  void window.tell({ tab, what, at: Date.now(), ...more });

/** Resolves in the next turn of the event loop. By a message, since timers are throttled in hidden pages. */
const turn = () =>
  new Promise<void>((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });

let openTransactions = 0;
const { transaction } = IDBDatabase.prototype;
IDBDatabase.prototype.transaction = function (...args) {
  const begun = transaction.apply(this, args);
  openTransactions++;
  for (const end of ["complete", "abort"]) begun.addEventListener(end, () => openTransactions--);
  return begun;
};

const ran: number[] = [];
let added = 0;
const finishers = new Map<number, (value: unknown) => void>();

queue.on("job:count", async (number, ctx) => {
  ran.push(number);
  if (ctx.job.interruptions > 0) tell("began", { number, interruptions: ctx.job.interruptions });
  // Long enough that some run when the tab dies.
  await turn();
});
queue.on("job:hold", (number, ctx) => {
  ran.push(number);
  tell("began", { number, interruptions: ctx.job.interruptions });
  ctx.signal.addEventListener("abort", () => tell("aborted", { number }));
  if (!query.has("hold")) return tab;
  return new Promise((resolve) => finishers.set(number, resolve));
});

let done = 0;
queue.on("completed", ({ job }) => {
  if (job.name === "hold") tell("completed", { number: job.payload as number });
  else if (++done % 25 === 0) tell("done", { number: done });
});
queue.on("released", ({ job }) => tell("released", { number: job.payload as number }));
queue.on("error", ({ error }) => tell("error", { code: error instanceof QuaysideError ? error.code : String(error) }));
queue.on("idle", () => tell("idle"));
addEventListener("pageshow", ({ persisted }) => tell("shown", { persisted }));

/** The remote is of this tab, so that a test sees which tab forwards. */
const outbox = query.has("outbox")
  ? outboxDriver({ local: indexedDbDriver({ name: "outgoing" }), remote: memoryDriver() })
  : undefined;
outbox?.on("forwarded", ({ ids }) => tell("forwarded", { number: ids.length }));

window.life = {
  async add(name, count) {
    await queue.configure({ keep: { completed: 1_000_000, failed: 1_000_000 } });
    await queue.addJobs(
      Array.from({ length: count }, (_, index) => {
        const number = added + index;
        return { name, payload: number, id: `${name}-${number}` };
      }),
    );
    added += count;
  },
  skip(count) {
    added += count;
  },
  async send() {
    if (outbox) await new Queue("mail", outbox).addJob("letter", added++);
  },
  async rested() {
    while (outbox && (await outbox.state()).pending > 0) await turn();
    // The next transaction begins in the turn in which one ends, or soon after.
    for (let quiet = 0; quiet < 20; quiet = openTransactions > 0 ? 0 : quiet + 1) await turn();
  },
  run: (concurrency) => queue.run({ concurrency }),
  stop: () => queue.stop({ timeout: 0 }),
  counts: () => queue.counts(),
  runs: () => ran,
  async completed() {
    const numbers: number[] = [];
    let interrupted = 0;
    for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
      const page = await queue.list({ state: "completed", limit: 1_000, ...(cursor !== undefined && { cursor }) });
      numbers.push(...page.jobs.map(({ payload }) => payload as number));
      interrupted += page.jobs.filter(({ interruptions }) => interruptions > 0).length;
      cursor = page.cursor;
    }
    return { numbers, interrupted };
  },
  job: (number) => queue.get(`hold-${number}`),
  finish: (number) => finishers.get(number)?.("late"),
  async advance(stepMs, steps) {
    for (let step = 0; step < steps; step++) {
      await clock?.advance(stepMs);
      await queue.counts();
    }
  },
};
