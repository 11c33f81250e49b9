import { Queue } from "@quayside/core";
import { type DurableQueue, type DurableQueueOptions, durableQueue, type QueueRpc, StubDriver } from "@quayside/edge";
import { batchesOf, type Contestant, type Payload, pause, payloadOf, type Rows, runs } from "./contestant.ts";

export interface Jobs {
  email: Payload;
  /** Runs on for a while, so that the answer that tells of its start does not wait for the write that ends it. */
  slow: Payload;
  /** Fails at its first attempt. */
  flaky: Payload;
}

type Options = DurableQueueOptions<Jobs, Cloudflare.Env>;

/** The class from which `durableQueue` derives: those below give it options of their own. */
const Base = Object.getPrototypeOf(durableQueue({})) as new (
  ctx: DurableObjectState,
  env: Cloudflare.Env,
  options: Options,
) => DurableQueue<Cloudflare.Env>;

/** The name of the queue in each object is the object's: so is an `edgeQueue` of that name. */
class BenchQueue extends Base implements Contestant {
  readonly #queue: Queue<Jobs>;
  readonly #name: string;
  #middle: string | undefined;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env, options: Options) {
    super(ctx, env, options);
    this.#name = ctx.id.name as string;
    // As code of the object's own class uses its queue: by the verbs it offers, without leaving the object.
    this.#queue = new Queue<Jobs>(this.#name, new StubDriver(() => this as QueueRpc));
  }

  async add(jobs: number, batch: number): Promise<void> {
    if (batch === 1) {
      for (const [payload] of batchesOf(jobs, 1)) await this.#queue.addJob("email", payload as Payload);
      return;
    }
    for (const payloads of batchesOf(jobs, batch))
      await this.#queue.addJobs(payloads.map((payload) => ({ name: "email", payload })));
  }

  async fill(jobs: number): Promise<void> {
    await this.#queue.pause();
    await this.add(jobs, 1_000);
  }

  async work(): Promise<void> {
    const all = runs.next(await this.#queue.size());
    await this.#queue.resume();
    await all;
    await this.#settled();
  }

  /** Completed jobs leave no trace. The default keeps the last 100. */
  async keepNone(): Promise<void> {
    await this.#queue.configure({ keep: { completed: 0 } });
  }

  async startOne(): Promise<void> {
    const started = runs.next(1);
    await this.#queue.addJob("slow", payloadOf(0));
    await started;
  }

  /** How often handlers have started. */
  async starts(): Promise<number> {
    return runs.total;
  }

  async started(total: number): Promise<void> {
    await runs.until(total);
  }

  rows(jobs: number, batch: number): Promise<Rows> {
    return this.#counted(async () => {
      const all = runs.next(jobs);
      await this.add(jobs, batch);
      await all;
    });
  }

  /** The same with all of them due a moment later, when the alarm rings. */
  rowsDelayed(jobs: number): Promise<Rows> {
    return this.#counted(async () => {
      const all = runs.next(jobs);
      await this.#queue.addJobs(
        [...batchesOf(jobs, jobs)].flat().map((payload) => ({ name: "email", payload, delay: 200 })),
      );
      await all;
    });
  }

  rowsRetried(jobs: number): Promise<Rows> {
    return this.#counted(async () => {
      const all = runs.next(2 * jobs);
      await this.#queue.addJobs(
        [...batchesOf(jobs, jobs)].flat().map((payload) => ({ name: "flaky", payload, backoff: 200 })),
      );
      await all;
    });
  }

  /** Added here, worked by somebody elsewhere, 100 at a time. */
  rowsElsewhere(jobs: number): Promise<Rows> {
    return this.#counted(async () => {
      await this.add(jobs, 100);
      await this.exchanges(jobs);
    });
  }

  /** The last so many completed jobs are kept, and so many are there. */
  async keep(jobs: number): Promise<void> {
    await this.#queue.configure({ keep: { completed: jobs } });
    await this.rows(jobs, jobs);
  }

  /** As Cloudflare does with an idle object, whose alarm has rung: what it had in memory is gone. */
  async sleep(): Promise<void> {
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.sync();
    this.ctx.abort("asleep");
  }

  /** What it has read and written since it woke, alarms included. */
  async sinceStart(): Promise<Rows> {
    const { rowsRead, rowsWritten, alarmsSet } = await this.usage();
    return { read: rowsRead, written: rowsWritten + alarmsSet, alarms: alarmsSet };
  }

  async #counted(work: () => Promise<unknown>): Promise<Rows> {
    const before = await this.sinceStart();
    await work();
    await this.#settled();
    const after = await this.sinceStart();
    return {
      read: after.read - before.read,
      written: after.written - before.written,
      alarms: (after.alarms ?? 0) - (before.alarms ?? 0),
    };
  }

  /** Claims and settles so many jobs, 100 at a time, as a worker's exchanges do: each settles one batch and claims the next. */
  async exchanges(jobs: number): Promise<void> {
    const worker = crypto.randomUUID();
    let tokens: readonly string[] = [];
    for (let number = 1, left = jobs; left > 0 || tokens.length > 0; number++) {
      const limit = Math.min(100, left);
      const reply = await this.exchange({
        worker,
        liveness: "time",
        leaseMs: 30_000,
        exchange: number,
        settle: tokens.map((token) => ({ token, outcome: "completed" })),
        running: [],
        claim: { limit, queues: limit > 0 ? [{ queue: this.#name }] : [] },
        leave: limit === 0,
      });
      if (!reply.ok) throw new Error(reply.error.message);
      tokens = reply.value.jobs.map(({ token }) => token);
      if (tokens.length < limit) throw new Error(`Claimed ${tokens.length} of ${limit}.`);
      left -= tokens.length;
    }
  }

  /** Claims 100 jobs so many times. Each claim gives back what the one before took, so that the queue stays as it is. */
  async claims(times: number): Promise<void> {
    const worker = crypto.randomUUID();
    for (let number = 1; number <= times + 1; number++) {
      const limit = number > times ? 0 : 100;
      const reply = await this.exchange({
        worker,
        liveness: "time",
        leaseMs: 30_000,
        exchange: number,
        settle: [],
        running: [],
        claim: { limit, queues: limit > 0 ? [{ queue: this.#name }] : [] },
        leave: limit === 0,
      });
      if (!reply.ok) throw new Error(reply.error.message);
      if (reply.value.jobs.length < limit) throw new Error(`Claimed ${reply.value.jobs.length} of ${limit}.`);
    }
  }

  async firstPages(times: number): Promise<void> {
    for (let time = 0; time < times; time++) await this.#page(100);
  }

  /** The same page again and again: where that begins is found once. */
  async middlePages(times: number): Promise<void> {
    this.#middle ??= await this.#seek(Math.floor((await this.#queue.size()) / 2));
    for (let time = 0; time < times; time++) await this.#page(100, this.#middle);
  }

  async countAgain(times: number): Promise<void> {
    for (let time = 0; time < times; time++) await this.#queue.counts();
  }

  async #page(limit: number, cursor?: string): Promise<string | undefined> {
    const page = await this.#queue.list({ limit, ...(cursor !== undefined && { cursor }) });
    if (page.jobs.length < limit) throw new Error(`A page has ${page.jobs.length} of ${limit} jobs.`);
    return page.cursor;
  }

  async #seek(jobs: number): Promise<string | undefined> {
    let cursor: string | undefined;
    for (let left = jobs; left > 0; left -= 500) cursor = await this.#page(Math.min(left, 500), cursor);
    return cursor;
  }

  async #settled(): Promise<void> {
    while ((await this.#queue.size()) > 0) await pause(1);
  }
}

const handlers: NonNullable<Options["handlers"]> = {
  email: runs.run,
  slow: async () => {
    runs.run();
    await pause(5);
  },
  flaky: (_, { attempt }) => {
    runs.run();
    if (attempt === 1) throw new Error("not yet");
  },
};

/** Keeps its jobs and works none. */
export class KeepQueue extends BenchQueue {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env, {});
  }
}

/** At the default concurrency. */
export class WorkQueue extends BenchQueue {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env, { handlers });
  }
}

export class WideQueue extends BenchQueue {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env, { handlers, concurrency: 100 });
  }
}

/** Claims so many that the sync of each claim to the disk (R10) is little for each job. */
export class WidestQueue extends BenchQueue {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env, { handlers, concurrency: 1_000 });
  }
}

/** At the default concurrency, with more claimed ahead: fewer syncs, and what is here runs while one is awaited. */
export class AheadQueue extends BenchQueue {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env, { handlers, prefetch: 200 });
  }
}
