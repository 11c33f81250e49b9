import type { Driver } from "@quayside/core";
import type { ClaimedJob, ExchangeReply, ExchangeRequest, Settlement } from "@quayside/core/engine";
import { partsOf } from "./classify-remote-error.ts";
import type { OutboxNames } from "./local-queue-names.ts";

/** Maximum number of jobs per batch, so that a batch fits into one request of the API (1,000 jobs, 1 MiB). */
export const BATCH = 200;
/** Maximum number of requests to cancel or remove jobs that one batch has. */
const CANCELS = 100;
/**
 * Lease of the worker that claims batches, in ms: 100 years, so that no other worker recovers its jobs while the user
 * is offline.
 */
const LEASE_MS = 100 * 365 * 86_400_000;

export interface BatchClaimOptions {
  readonly queue: string;
  readonly names: OutboxNames;
  readonly local: Driver;
}

/** The state of the batch that this tab has claimed last. */
type Batch =
  /** There is no batch. */
  | { readonly kind: "none" }
  /**
   * The remote has not answered, so the next exchange repeats the batch. `unsure`: the batch may have been sent before.
   */
  | { readonly kind: "inFlight"; readonly unsure: boolean }
  /** The outcomes are known; the next exchange settles the jobs. */
  | { readonly kind: "decided"; readonly settle: readonly Settlement[] };

const NONE: Batch = { kind: "none" };
const UNSURE: Batch = { kind: "inFlight", unsure: true };

/**
 * The batch of one queue that is being sent to the remote. Its jobs are claimed under one worker key that all tabs
 * share.
 *
 * Before sending, `local.exchange` writes a lease record with the batch's number and jobs (R26). A tab that starts, or
 * has failed, gets an error with the last number from its first exchange. It then repeats the exchange of that number
 * and gets the same jobs (R9). The next exchange settles the outcomes and claims the next batch in one transaction.
 */
export class BatchClaim {
  readonly #options: BatchClaimOptions;
  /** Number of the last stored exchange, as far as this tab has read it. */
  #last = 0;
  /** Whether this tab has read the number of the last exchange, which an earlier page may have stored. */
  #asked = false;
  #batch: Batch = NONE;

  constructor(options: BatchClaimOptions) {
    this.#options = options;
  }

  /** The number of the batch. */
  get number(): number {
    return this.#last;
  }

  /** Whether the batch may have reached the remote in an earlier send. */
  get unsure(): boolean {
    return this.#batch.kind === "inFlight" && this.#batch.unsure;
  }

  /**
   * Claims the next batch, or the running one again.
   *
   * @returns the jobs, none if no jobs wait; undefined if another tab was faster: call again at once.
   */
  async next(limit: number): Promise<readonly ClaimedJob[] | undefined> {
    if (!this.#asked) {
      // Claims nothing. If an exchange is stored, this one fails with its number, and its batch is the running one.
      await this.#exchange(0, 0);
      this.#asked = true;
    }
    const reply = await this.#exchange(limit);
    if (!reply) return undefined;
    const repeated = this.#batch.kind === "inFlight";
    if (reply.jobs.length === 0) {
      this.#batch = NONE;
      return repeated ? undefined : [];
    }
    if (!repeated) this.#batch = { kind: "inFlight", unsure: false };
    return reply.jobs;
  }

  /** Sets the outcomes that the next exchange stores. */
  settle(settle: readonly Settlement[]): void {
    this.#batch = { kind: "decided", settle };
  }

  /** Records that no answer of the remote has arrived. The next exchange gets the same batch again. */
  lost(): void {
    this.#batch = UNSURE;
  }

  /** Releases the jobs of the batch, whichever tab has claimed it. Jobs that were removed meanwhile are deleted. */
  async release(): Promise<void> {
    for (let reply: ExchangeReply | undefined; !reply || reply.jobs.length > 0; ) {
      if (this.#batch.kind === "inFlight") this.#batch = NONE;
      reply = await this.#exchange(0);
    }
  }

  /**
   * Runs an exchange. Returns undefined if another tab was faster; the running batch is then that of the other tab's
   * last exchange.
   */
  async #exchange(
    limit: number,
    number = this.#batch.kind === "inFlight" ? this.#last : this.#last + 1,
  ): Promise<ExchangeReply | undefined> {
    const { local, names, queue } = this.#options;
    const { kind } = this.#batch;
    const request: ExchangeRequest = {
      worker: names.worker(queue),
      name: "outbox",
      liveness: "time",
      leaseMs: LEASE_MS,
      bystander: true,
      exchange: number,
      settle: this.#batch.kind === "decided" ? this.#batch.settle : [],
      running: [],
      claim: {
        limit: limit > 0 ? limit + CANCELS : 0,
        queues: [
          { queue: names.cancels(queue), limit: CANCELS },
          { queue: names.jobs(queue), limit },
        ],
      },
    };
    try {
      const reply = await local.exchange(request);
      if (kind === "inFlight") return reply;
      // An exchange that found and changed nothing is not stored; its number is free.
      if (kind === "decided" || reply.jobs.length > 0) this.#last = number;
      this.#batch = NONE;
      return reply;
    } catch (error) {
      const { code, details } = partsOf(error);
      if (code !== "stale_exchange") throw error;
      this.#last = details["last"] as number;
      this.#batch = UNSURE;
      return undefined;
    }
  }
}
