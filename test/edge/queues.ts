import { type Clock, defineJobs, systemClock } from "@quayside/core";
import { bearerTokens, durableQueue, queueApi } from "@quayside/edge";
import { createManualClock, type ManualClock } from "@quayside/testing";
import * as z from "zod";

/** The jobs of these tests. */
export const jobs = defineJobs({
  email: { input: z.object({ to: z.email(), lines: z.array(z.string()).default([]) }), maxAttempts: 2, backoff: 20 },
  note: { input: z.object({ board: z.string(), note: z.string() }) },
  flaky: { input: z.object({ failures: z.int() }), maxAttempts: 5, backoff: 20 },
  sleep: { input: z.object({ ms: z.number() }) },
  chain: { input: z.object({ name: z.string() }) },
  /** Its result is a text of so many characters. */
  verbose: { input: z.object({ chars: z.int() }), maxAttempts: 3, backoff: 20 },
});

/** Names of chains whose jobs add their own successor, with the runs that are left. */
export const chains = new Map<string, number>();

/** What handlers note as they run. */
export const ran: string[] = [];

/** What objects report to their `onError`. */
export const reported: unknown[] = [];

/** How far the clocks of objects, by their names, are ahead of the platform's. */
export const ahead = new Map<string, number>();

/** Names of objects to whom a time of many minutes is a moment. */
export const hasty = new Set<string>();

/** Names of objects whose clock goes on by a millisecond whenever it is read, or by a stride. */
export const ticking = new Map<string, number>();
export const strides = new Map<string, number>();

const oddClock = ({ id: { name = "" } }: DurableObjectState): Clock => ({
  monotonic: systemClock.monotonic,
  nextTask: systemClock.nextTask,
  now: () => {
    const ticks = ticking.get(name);
    if (ticks !== undefined) ticking.set(name, ticks + (strides.get(name) ?? 1));
    return Date.now() + (ahead.get(name) ?? 0) + (ticks ?? 0);
  },
  after: (ms, run) => {
    const armed = timersOf(name);
    const timer = {};
    armed.add(timer);
    const cancel = systemClock.after(hasty.has(name) && ms > 600_000 ? 50 : ms, () => {
      armed.delete(timer);
      run();
    });
    return () => {
      armed.delete(timer);
      cancel();
    };
  },
});

const timers = new Map<string, Set<object>>();

/** Timers that are armed in the object of this name: each keeps it in memory, which is billed by the second. */
export function timersOf(name: string): Set<object> {
  const armed = timers.get(name) ?? new Set();
  timers.set(name, armed);
  return armed;
}

/** A queue's object that works its jobs itself. */
export class WorkQueue extends durableQueue<typeof jobs, Cloudflare.Env>({
  jobs,
  handlers: {
    email: ({ to, lines }) => {
      ran.push(to);
      return { to, lines: lines.length };
    },
    note: async ({ board, note }, { env, id }) => void (await env.SMOKE.getByName(board).add(id, note)),
    flaky: ({ failures }, { attempt }) => {
      if (attempt <= failures) throw new Error(`failure ${attempt}`);
      return attempt;
    },
    chain: async ({ name }, ctx) => {
      const left = chains.get(name) ?? 0;
      chains.set(name, left - 1);
      if (left > 0) await ctx.enqueue({ name: "chain", payload: { name } });
    },
    verbose: ({ chars }) => {
      ran.push("verbose");
      return "x".repeat(chars);
    },
    sleep: ({ ms }, { signal }) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, ms);
        signal.addEventListener("abort", () => {
          clearTimeout(timer);
          reject(signal.reason);
        });
      }),
  },
  onError: (error) => void reported.push(error),
  clock: oddClock,
}) {}

/** The same with room for a hundred jobs at once. */
export class WideQueue extends durableQueue<typeof jobs, Cloudflare.Env>({
  jobs,
  handlers: { email: () => {}, sleep: ({ ms }) => (ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : null) },
  concurrency: 100,
}) {}

const clocks = new Map<string, ManualClock>();

function clockOf(ctx: DurableObjectState): ManualClock {
  const name = ctx.id.toString();
  const clock = clocks.get(name) ?? createManualClock();
  clocks.set(name, clock);
  return clock;
}

/** A queue's object that only keeps its jobs, on a clock that is moved by hand: whoever tests is its only worker. */
export class BareQueue extends durableQueue({ clock: clockOf }) {
  #most = 0;
  #before = 0;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const { storage } = ctx;
    const { transactionSync } = storage;
    const { exec } = storage.sql;
    let cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
    storage.sql.exec = ((...args: Parameters<typeof exec>) => {
      const cursor = exec.apply(storage.sql, args);
      cursors.push(cursor);
      return cursor;
    }) as typeof exec;
    storage.transactionSync = (callback) => {
      cursors = [];
      try {
        return transactionSync.call(storage, callback) as ReturnType<typeof callback>;
      } finally {
        const read = cursors.reduce((rows, { rowsRead }) => rows + rowsRead, 0);
        this.#most = Math.max(this.#most, read);
      }
    };
  }

  /** The most rows that one transaction has read since this was last asked. */
  async mostRead(): Promise<number> {
    const most = this.#most;
    this.#most = 0;
    return most;
  }

  /** Rows that were read since this was last asked, in all and in one transaction at most. */
  async spent(): Promise<{ readonly read: number; readonly step: number }> {
    const { rowsRead } = await this.usage();
    const read = rowsRead - this.#before;
    this.#before = rowsRead;
    return { read, step: await this.mostRead() };
  }

  async advance(ms: number): Promise<void> {
    await clockOf(this.ctx).advance(ms);
  }

  async jump(ms: number): Promise<void> {
    clockOf(this.ctx).jump(ms);
  }

  /** All that the object has stored, as one text. */
  async stored(): Promise<string> {
    const { sql } = this.ctx.storage;
    const tables = [...sql.exec<{ name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table'")];
    const own = tables.map(({ name }) => name).filter((name) => !name.startsWith("_cf_"));
    return JSON.stringify(own.map((name) => [name, [...sql.exec(`SELECT * FROM "${name}"`).raw()]]));
  }

  /** Timers that the object has armed. */
  async timers(): Promise<number> {
    return clockOf(this.ctx).pending;
  }
}

export const TOKENS = {
  "token-enqueue": { subject: "enqueue", scopes: ["enqueue"] },
  "token-work": { subject: "work", scopes: ["work"] },
  "token-admin": { subject: "admin", scopes: ["admin"] },
  "token-all": { subject: "all", scopes: ["enqueue", "work", "admin"] },
  "token-mail": { subject: "mail", scopes: ["enqueue", "work", "admin"], queues: ["mail"] },
} as const;

/** The API over queues with a job map. */
export const api = queueApi({
  jobs,
  object: (env: Cloudflare.Env) => env.BARE_QUEUE,
  auth: bearerTokens(TOKENS),
  limits: { payloadBytes: 1_000 },
});

/** The API for pages of one other origin. */
export const corsApi = queueApi({
  object: (env: Cloudflare.Env) => env.BARE_QUEUE,
  auth: bearerTokens(TOKENS),
  cors: { origin: "https://page.example" },
});

/** The API as it is without `auth`. */
export const closedApi = queueApi({ object: (env: Cloudflare.Env) => env.BARE_QUEUE, jobs });
