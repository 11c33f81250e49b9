import type { ClaimQueue, Driver, StoredError } from "@quayside/core";
import type {
  AttemptReport,
  ClaimedJob,
  ExchangeReply,
  ExchangeRequest,
  Liveness,
  Settlement,
} from "@quayside/core/engine";

export interface TestWorkerOptions {
  readonly driver?: Driver | undefined;
  /** The worker's key. Default: random. */
  readonly key?: string | undefined;
  readonly name?: string | undefined;
  readonly liveness?: Liveness | undefined;
  readonly leaseMs?: number | undefined;
  /** The queues from which the worker claims. Default: the suite's queue, with any job name. */
  readonly queues?: readonly (string | ClaimQueue)[] | undefined;
}

/** The fields of an exchange that a case sets. The `TestWorker` sets the other fields. */
export interface Round {
  readonly settle?: readonly Settlement[] | undefined;
  /** Tokens of the running jobs. Default: all jobs that the worker holds, except those that it settles. */
  readonly running?: readonly string[] | undefined;
  readonly progress?: readonly AttemptReport[] | undefined;
  readonly limit?: number | undefined;
  readonly prefetch?: number | undefined;
  readonly queues?: readonly (string | ClaimQueue)[] | undefined;
  readonly leave?: boolean | undefined;
  readonly bystander?: boolean | undefined;
}

type Taken = { 1: [ClaimedJob]; 2: [ClaimedJob, ClaimedJob]; 3: [ClaimedJob, ClaimedJob, ClaimedJob] };

export const QUEUE = "mail";
export const LEASE_MS = 30_000;
export const BOOM: StoredError = { code: "handler_failed", message: "boom" };

let started = 0;

/**
 * A worker without handlers and timers: numbers its exchanges, records the jobs that it holds, and acts only when the
 * case calls it.
 */
export class TestWorker {
  readonly key: string;
  readonly leaseMs: number;
  readonly #driver: Driver;
  readonly #base: Pick<ExchangeRequest, "worker" | "name" | "liveness" | "leaseMs">;
  readonly #queues: readonly (string | ClaimQueue)[];
  readonly #held = new Set<string>();
  #number = 0;
  #last: ExchangeRequest | undefined;

  constructor(driver: Driver, options: TestWorkerOptions = {}) {
    this.key = options.key ?? `worker-${++started}-${Math.random().toString(36).slice(2)}`;
    this.leaseMs = options.leaseMs ?? LEASE_MS;
    this.#driver = options.driver ?? driver;
    this.#queues = options.queues ?? [QUEUE];
    this.#base = {
      worker: this.key,
      liveness: options.liveness ?? "time",
      leaseMs: this.leaseMs,
      ...(options.name === undefined ? {} : { name: options.name }),
    };
  }

  /** The last request of the worker, for a case to repeat or change. */
  get last(): ExchangeRequest {
    if (!this.#last) throw new Error("This worker has not exchanged yet.");
    return this.#last;
  }

  exchange(round: Round = {}): Promise<ExchangeReply> {
    const settle = round.settle ?? [];
    const settled = new Set(settle.map(({ token }) => token));
    this.#last = {
      ...this.#base,
      exchange: ++this.#number,
      settle,
      running: round.running ?? [...this.#held].filter((token) => !settled.has(token)),
      claim: {
        limit: round.limit ?? 0,
        ...(round.prefetch && { prefetch: round.prefetch }),
        queues: (round.queues ?? this.#queues).map((queue) => (typeof queue === "string" ? { queue } : queue)),
      },
      ...(round.progress && { progress: round.progress }),
      ...(round.leave && { leave: true }),
      ...(round.bystander && { bystander: true }),
    };
    return this.#send(this.#last);
  }

  /** Repeats the last exchange with the same number, as after a lost reply. */
  repeat(): Promise<ExchangeReply> {
    return this.#send(this.last);
  }

  async #send(request: ExchangeRequest): Promise<ExchangeReply> {
    const reply = await this.#driver.exchange(request);
    const running = new Set(request.running);
    for (const token of this.#held) if (!running.has(token)) this.#held.delete(token);
    for (const token of reply.lost) this.#held.delete(token);
    for (const { token } of reply.jobs) this.#held.add(token);
    return reply;
  }

  /** Claims up to `limit` jobs. */
  async claim(limit: number, queues?: readonly (string | ClaimQueue)[]): Promise<readonly ClaimedJob[]> {
    return (await this.exchange({ limit, ...(queues && { queues }) })).jobs;
  }

  /** Claims up to `limit` jobs. Returns their ids in the order of the claim. */
  async claimIds(limit: number, queues?: readonly (string | ClaimQueue)[]): Promise<readonly string[]> {
    return (await this.claim(limit, queues)).map(({ job }) => job.id);
  }

  /** Claims exactly `count` jobs in one claim. */
  async take<N extends 1 | 2 | 3>(count: N): Promise<Taken[N]> {
    const jobs = await this.claim(count);
    if (jobs.length !== count) throw new Error(`Claimed ${jobs.length} jobs where the case needs ${count}.`);
    return jobs as unknown as Taken[N];
  }

  /** Renews the lease and recovers jobs of dead workers, without claiming jobs. */
  look(): Promise<ExchangeReply> {
    return this.exchange();
  }

  complete(jobs: ClaimedJob | readonly ClaimedJob[], result?: string): Promise<ExchangeReply> {
    return this.exchange({
      settle: list(jobs).map(({ token }) => ({ token, outcome: "completed", ...(result !== undefined && { result }) })),
    });
  }

  /** Fails jobs for good. */
  fail(jobs: ClaimedJob | readonly ClaimedJob[], error: StoredError = BOOM): Promise<ExchangeReply> {
    return this.exchange({ settle: list(jobs).map(({ token }) => ({ token, outcome: "failed", error })) });
  }

  retry(jobs: ClaimedJob | readonly ClaimedJob[], retryMs: number): Promise<ExchangeReply> {
    return this.exchange({
      settle: list(jobs).map(({ token }) => ({ token, outcome: "failed", error: BOOM, retryMs })),
    });
  }

  release(jobs: ClaimedJob | readonly ClaimedJob[], delayMs = 0): Promise<ExchangeReply> {
    return this.exchange({ settle: list(jobs).map(({ token }) => ({ token, outcome: "released", delayMs })) });
  }

  /** Settles jobs as cancelled, as a worker does after a request to stop them. */
  stopped(jobs: ClaimedJob | readonly ClaimedJob[]): Promise<ExchangeReply> {
    return this.exchange({ settle: list(jobs).map(({ token }) => ({ token, outcome: "cancelled" })) });
  }
}

const list = (jobs: ClaimedJob | readonly ClaimedJob[]): readonly ClaimedJob[] => ("token" in jobs ? [jobs] : jobs);
