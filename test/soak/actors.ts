import { type Clock, type Driver, type HandlerContext, type JobOptions, QuaysideError, Queue } from "@quayside/core";
import { anyKind, behave, pick, type Random } from "./behaviour.ts";
import type { Left } from "./ledger.ts";
import type { Kind, Sink } from "./notes.ts";

/** The queue of the soak, and the key of its one recurrence. */
export const QUEUE = "soak";
export const RECURRENCE = "tick";
/** How often it is looked for after the clock was set right, each half a second after the last. */
const RECURRENCE_LOOKS = 20;

export interface Payload {
  readonly job: number;
  readonly kind: Kind;
}

export type Jobs = Record<Kind, Payload> & { tick: null };

/** The set-up of an actor: a connection of its own, a clock, a random source, and the ledger. */
export interface Stage {
  readonly driver: Driver;
  readonly clock: Clock;
  readonly random: Random;
  readonly sink: Sink;
  /** Shortest lease that the home can keep up with, in ms. */
  readonly leaseMs: number;
}

export const pause = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => void clock.after(Math.ceil(ms), () => resolve()));

export const KINDS: readonly Kind[] = ["plain", "slow", "flaky", "hopeless", "released", "talkative", "badResult"];

const jobOptions = (kind: Kind, random: Random): JobOptions => ({
  maxAttempts: kind === "badResult" ? 1 : kind === "flaky" ? 3 : 2,
  backoff: Math.floor(random() * 100),
  ...(random() < 0.2 && { priority: Math.floor(random() * 5) }),
  ...(random() < 0.2 && { delay: Math.floor(random() * 300) }),
  ...(random() < 0.1 && { group: { key: `g${Math.floor(random() * 5)}`, limit: 3 } }),
  ...(random() < 0.1 && { tags: ["soak"] }),
});

/** Sets up what belongs to the queue: every failed job is kept, so that the ledger can find it. */
export async function prepare({ driver, clock }: Pick<Stage, "driver" | "clock">): Promise<void> {
  const queue = new Queue<Jobs>(QUEUE, driver, { clock });
  await queue.configure({ keep: { completed: 10, failed: 1_000_000, cancelled: 10 } });
  await queue.schedule(RECURRENCE, { every: "5s", name: "tick", payload: null });
}

export interface Pace {
  /** Jobs to try to add. */
  readonly count: number;
  /** Most jobs in one call. */
  readonly batch: number;
  /** Longest pause between two calls. */
  readonly pauseMs: number;
  readonly isFarAhead: () => boolean;
}

/** Adds jobs numbered from `first` until told to stop, or until it has tried `count`. */
export class Producer {
  tried = 0;
  readonly #stage: Stage;
  readonly #queue: Queue<Jobs>;
  #stopped = false;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#queue = new Queue<Jobs>(QUEUE, stage.driver, { clock: stage.clock });
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Waits while `isFarAhead`, so that the queue stays short however long the soak is. */
  async run(first: number, options: Pace) {
    const { random, clock } = this.#stage;
    while (!this.#stopped && this.tried < options.count) {
      const size = Math.min(1 + Math.floor(random() * options.batch), options.count - this.tried);
      await this.#add(Array.from({ length: size }, (_, index) => first + this.tried + index));
      while (!this.#stopped && options.isFarAhead()) await pause(clock, options.pauseMs);
      this.tried += size;
      await pause(clock, random() * options.pauseMs);
    }
  }

  async #add(numbers: readonly number[]): Promise<void> {
    const { random, sink } = this.#stage;
    const jobs = numbers.map((job) => {
      const kind = anyKind(random);
      const own = random() < 0.3 && { id: `job-${job}` };
      return { name: kind, payload: { job, kind }, ...jobOptions(kind, random), ...own };
    });
    await sink(...jobs.map(({ payload }) => ({ what: "tried", ...payload }) as const));
    try {
      const ids = await this.#queue.addJobs(jobs);
      if (ids.length !== jobs.length) await sink({ what: "wrong", text: `${ids.length} ids for ${jobs.length} jobs` });
      await sink(...numbers.map((job) => ({ what: "added", job }) as const));
    } catch (error) {
      // Whether these jobs are stored is unknown: they are not acknowledged, so they may be missing. They may run, too.
      if (!(error instanceof QuaysideError)) await sink({ what: "wrong", text: `addJobs rejected with ${error}` });
    }
  }
}

/** The handlers of one process, tab or object: they note what they do. */
export class Handlers {
  readonly #stage: Pick<Stage, "sink" | "random" | "clock">;
  readonly #label: string;
  #runs = 0;

  constructor(stage: Pick<Stage, "sink" | "random" | "clock">, label: string) {
    this.#stage = stage;
    this.#label = label;
  }

  async job({ job, kind }: Payload, ctx: HandlerContext): Promise<unknown> {
    const { sink, random, clock } = this.#stage;
    const run = `${this.#label}/${this.#runs++}`;
    await sink({ what: "began", job, id: ctx.id, kind, run, worker: this.#label });
    try {
      const result = await behave(kind, ctx, random, (ms) => pause(clock, ms));
      await sink({ what: "done", job, run });
      return result;
    } catch (error) {
      await sink({ what: "over", job, run });
      throw error;
    }
  }

  async tick(): Promise<void> {
    await this.#stage.sink({ what: "recurred" });
  }
}

/** A worker with its handlers. */
export class Host {
  /** Handlers that have not come back. */
  active = 0;
  readonly queue: Queue<Jobs>;
  readonly #stage: Stage;

  constructor(stage: Stage, label: string) {
    this.#stage = stage;
    this.queue = new Queue<Jobs>(QUEUE, stage.driver, { clock: stage.clock });
    // Refused and lost calls are part of the soak.
    this.queue.on("error", () => {});
    const handlers = new Handlers(stage, label);
    for (const kind of KINDS)
      this.queue.on(`job:${kind}`, async (payload, ctx) => {
        this.active++;
        try {
          return await handlers.job(payload, ctx);
        } finally {
          this.active--;
        }
      });
    this.queue.on("job:tick", () => handlers.tick());
  }

  async run(options: { readonly concurrency: number; readonly prefetch?: number }): Promise<void> {
    await this.queue.run({ ...options, lease: this.#stage.leaseMs });
  }
}

/** Does what an operator may do, one action at a time, until told to stop. */
export class Operator {
  readonly #stage: Stage;
  readonly #queue: Queue<Jobs>;
  #stopped = false;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#queue = new Queue<Jobs>(QUEUE, stage.driver, { clock: stage.clock });
  }

  stop(): void {
    this.#stopped = true;
  }

  async run(pauseMs: number): Promise<void> {
    const { random, clock, sink } = this.#stage;
    const actions = [
      () => this.#cancel(),
      () => this.#retry(),
      () => this.#promote(),
      () => this.#pause(),
      () => this.#read(),
      () => this.#repeatSchedule(),
    ];
    while (!this.#stopped) {
      try {
        await pick(random, actions)();
      } catch (error) {
        if (!(error instanceof QuaysideError)) await sink({ what: "wrong", text: `an operator was told ${error}` });
      }
      await pause(clock, random() * pauseMs);
    }
    // Whatever the last action was, the queue is not left paused.
    await untilDone(clock, () => this.#queue.resume());
  }

  async #one(state: "waiting" | "delayed" | "active" | "failed") {
    const { jobs } = await this.#queue.list({ state, limit: 20 });
    return jobs.length > 0 ? pick(this.#stage.random, jobs) : undefined;
  }

  async #cancel(): Promise<void> {
    const { random, sink } = this.#stage;
    const job = await this.#one(pick(random, ["waiting", "delayed", "active"] as const));
    if (!job || job.name === "tick") return;
    await sink({ what: "cancelled", job: (job.payload as unknown as Payload).job });
    await (random() < 0.5 ? this.#queue.cancel(job.id) : this.#queue.remove(job.id));
  }

  async #retry(): Promise<void> {
    const { sink, random } = this.#stage;
    const job = await this.#one("failed");
    if (!job) return;
    // Not of many: those that fail again would keep the workers busy for ever.
    const all = random() < 0.05 && (await this.#queue.counts()).failed < 500;
    await sink(all ? { what: "retried" } : { what: "retried", job: (job.payload as unknown as Payload).job });
    await (all ? this.#queue.retryAll() : this.#queue.retry(job.id));
  }

  async #promote(): Promise<void> {
    const job = await this.#one("delayed");
    if (job && job.name !== "tick") await this.#queue.promote(job.id);
  }

  async #pause(): Promise<void> {
    const { clock, random } = this.#stage;
    await this.#queue.pause();
    await pause(clock, random() * 200);
    await untilDone(clock, () => this.#queue.resume());
  }

  async #read(): Promise<void> {
    const { sink } = this.#stage;
    const counts = await this.#queue.counts();
    for (const [name, count] of Object.entries(counts))
      if (typeof count === "number" && !(count >= 0))
        await sink({ what: "wrong", text: `counts().${name} is ${count}` });
    await this.#queue.list({ limit: 100 });
  }

  /** As every start of an app does. */
  async #repeatSchedule(): Promise<void> {
    await this.#queue.schedule(RECURRENCE, { every: "5s", name: "tick", payload: null });
  }
}

/** Tries again until it succeeds: for the steps without which the soak could not end. */
export async function untilDone<T>(clock: Clock, act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch {
      await pause(clock, 50);
    }
  }
}

/** Jobs that have not ended; the recurrence's next occurrence aside. */
export async function unfinished({ driver, clock }: Pick<Stage, "driver" | "clock">): Promise<number> {
  const { waiting, delayed, active } = await new Queue<Jobs>(QUEUE, driver, { clock }).counts();
  return waiting + delayed + active;
}

/** Checks the recurrence and ends it. Soon after the clock was set right, its next occurrence is at most its period away. */
export async function endRecurrence({ driver, clock, sink }: Pick<Stage, "driver" | "clock" | "sink">): Promise<void> {
  const queue = new Queue<Jobs>(QUEUE, driver, { clock });
  // Its period, and a little for the time between two readings of the clock.
  const isNear = (away: number | undefined) => away !== undefined && away <= 6_000;
  let away: number | undefined;
  for (let look = 0; look < RECURRENCE_LOOKS && !isNear(away); look++) {
    if (look > 0) await pause(clock, 500);
    const schedule = (await queue.schedules()).find(({ key }) => key === RECURRENCE);
    away = schedule?.nextAt === undefined ? undefined : schedule.nextAt - clock.now();
  }
  if (!isNear(away)) await sink({ what: "wrong", text: `the recurrence of 5 s is next due in ${away} ms` });
  await queue.unschedule(RECURRENCE);
}

/** Every job that the queue still has, ended or not. */
export async function remaining({ driver, clock }: Pick<Stage, "driver" | "clock">): Promise<readonly Left[]> {
  const queue = new Queue<Jobs>(QUEUE, driver, { clock });
  const left: Left[] = [];
  for (const state of ["waiting", "delayed", "active", "failed", "cancelled", "completed"] as const) {
    for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
      const page = await queue.list({ state, limit: 200, ...(cursor !== undefined && { cursor }) });
      for (const { name, payload, error } of page.jobs)
        if (name !== "tick") left.push({ job: (payload as unknown as Payload).job, state, code: error?.code });
      cursor = page.cursor;
    }
  }
  return left;
}
