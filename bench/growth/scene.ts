import { everything, Queue, QueueWorker } from "@quayside/core";
import {
  type Command,
  type ExchangeReply,
  type ExchangeRequest,
  type NewJob,
  type Settlement,
  StoreDriver,
} from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { type Cost, CountingStore } from "./counting-store.ts";

/** The queue that the verbs are for, and that holds the population. */
export const QUEUE = "mail";
/** A queue with idle workers in this process. */
export const IDLE = "idle";
/** Time after which a lease expires or a delayed job is due: never while the clock is not moved. */
export const LATER_MS = 86_400_000;
/** Number of jobs per call while a scene is filled. */
const STEP = 10_000;

export const job = (options: Partial<NewJob> = {}): NewJob => ({
  queue: QUEUE,
  name: "email",
  payload: "0",
  ...options,
});
export const completed = (token: string): Settlement => ({ token, outcome: "completed" });
export const failed = (token: string): Settlement => ({
  token,
  outcome: "failed",
  error: { code: "internal", message: "No such address." },
});
export const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** A driver on a counting store, with the calls of its queue and its workers. The clock does not move. */
export class Scene {
  readonly store = new CountingStore();
  readonly driver: StoreDriver;
  readonly queue: Queue<Record<string, unknown>>;
  /** Whether the population has jobs that a worker of the queue can claim. */
  claimable = false;
  /** Queues that the measured worker works besides `QUEUE`. */
  readonly worked: string[] = [];
  readonly #clock = createManualClock();
  readonly #exchanges = new Map<string, number>();
  /** Tokens that each worker was given. */
  readonly #held = new Map<string, string[]>();

  constructor() {
    const clock = this.#clock;
    this.driver = new StoreDriver(this.store, { plugins: everything(), clock });
    this.queue = new Queue<Record<string, unknown>>(QUEUE, this.driver, { clock });
  }

  /** Adds jobs. Returns their ids. */
  async add(jobs: readonly NewJob[]): Promise<string[]> {
    const ids: string[] = [];
    for (let from = 0; from < jobs.length; from += STEP)
      for (const { id } of await this.driver.enqueue(jobs.slice(from, from + STEP))) ids.push(id);
    return ids;
  }

  /** Adds one job. Returns its id. */
  async addOne(options: Partial<NewJob> = {}): Promise<string> {
    const [id] = await this.add([job(options)]);
    return id as string;
  }

  /** Starts a worker of the queue `IDLE`, in this process. */
  async startIdle(): Promise<void> {
    const queue = new Queue<Record<string, unknown>>(IDLE, this.driver, { clock: this.#clock });
    queue.on("job:email", () => "done");
    await new QueueWorker(queue).start();
  }

  exchange(worker: string, parts: Partial<ExchangeRequest> = {}): Promise<ExchangeReply> {
    const exchange = (this.#exchanges.get(worker) ?? 0) + 1;
    this.#exchanges.set(worker, exchange);
    const claim = { limit: 0, queues: [] };
    return this.driver.exchange({
      ...{ worker, exchange, liveness: "time", leaseMs: LATER_MS, settle: [], running: [], claim },
      ...parts,
    });
  }

  /** Claims jobs, and settles others, as one exchange. Returns the tokens of the claimed jobs. */
  async claim(
    worker: string,
    limit: number,
    { settle = [], queues = [QUEUE] }: { settle?: readonly Settlement[]; queues?: readonly string[] } = {},
  ): Promise<string[]> {
    const claim = { limit, queues: queues.map((queue) => ({ queue })) };
    const { jobs } = await this.exchange(worker, { settle, claim });
    const tokens = jobs.map(({ token }) => token);
    this.#held.set(worker, [...(this.#held.get(worker) ?? []), ...tokens]);
    return tokens;
  }

  /** Completes all jobs that a worker has claimed and not settled yet. */
  async finish(worker: string): Promise<void> {
    await this.exchange(worker, { settle: (this.#held.get(worker) ?? []).map(completed) });
    this.#held.delete(worker);
  }

  command(command: Command): Promise<unknown> {
    return this.driver.command(command);
  }

  /** Returns what a call reads and writes, with all that its changes cause in this process. */
  async costOf(call: () => Promise<unknown>): Promise<Cost> {
    const { store } = this;
    const before = { read: store.read, written: store.written };
    await call();
    await this.settled();
    return { read: store.read - before.read, written: store.written - before.written };
  }

  /** Resolves when no call reads or writes any more. */
  async settled(): Promise<void> {
    for (let seen = -1; seen !== this.store.read; ) {
      seen = this.store.read;
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
