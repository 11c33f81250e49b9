import type { Driver } from "@quayside/core";
import type { ClaimedJob, ExchangeReply, ExchangeRequest, Settlement } from "@quayside/core/engine";
import { partsOf } from "./classify-remote-error.ts";
import type { OutboxNames } from "./local-queue-names.ts";

/** Most jobs in a batch, so that it fits into one request of the API (1,000 jobs, 1 MiB). */
export const BATCH = 200;
/** Most requests to cancel or remove a job that one batch carries. */
const CANCELS = 100;
/** Lease of a batch: 100 years, so that no worker recovers it. The user may be offline for any time. */
const LEASE_MS = 100 * 365 * 86_400_000;

export interface BatchClaimOptions {
  readonly queue: string;
  readonly names: OutboxNames;
  readonly local: Driver;
}

/** The next step for the jobs that were claimed last. */
type Batch =
  /** Nothing is claimed. */
  | { readonly kind: "none" }
  /** The remote has not answered: until it does, the same exchange is repeated. `unsure`: it may have been sent before. */
  | { readonly kind: "inFlight"; readonly unsure: boolean }
  /** The outcomes are decided: the next exchange settles them. */
  | { readonly kind: "decided"; readonly settle: readonly Settlement[] };

const NONE: Batch = { kind: "none" };
const UNSURE: Batch = { kind: "inFlight", unsure: true };

/**
 * The batch of one queue that is on its way to the remote: the claim of a worker whose key all tabs share.
 *
 * `local.exchange` writes a lease record with the number and the jobs of the batch before anything is sent (R26). A tab
 * that starts, or that failed, reads the number from the exchange that is refused, repeats that exchange and gets the
 * same jobs (R9). The exchange after it settles the outcomes and claims the next batch in one transaction.
 */
export class BatchClaim {
  readonly #options: BatchClaimOptions;
  /** The last exchange that is stored, as far as this tab has read. */
  #last = 0;
  /** Whether this tab has read the number of the last exchange: an earlier page may have used the first ones. */
  #asked = false;
  #batch: Batch = NONE;

  constructor(options: BatchClaimOptions) {
    this.#options = options;
  }

  /** The number of the batch. */
  get number(): number {
    return this.#last;
  }

  /** Whether the batch may have reached the remote before. */
  get unsure(): boolean {
    return this.#batch.kind === "inFlight" && this.#batch.unsure;
  }

  /**
   * Claims the next batch, or the one in flight again.
   *
   * @returns undefined: call again at once, because another tab was ahead or has taken the batch in flight. An empty
   * list: nothing waits.
   */
  async next(limit: number): Promise<readonly ClaimedJob[] | undefined> {
    if (!this.#asked) {
      // Claims nothing. Where an exchange is stored, this one is refused, and the stored one is in flight.
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

  /** Stores these outcomes with the next exchange. */
  settle(settle: readonly Settlement[]): void {
    this.#batch = { kind: "decided", settle };
  }

  /** The answer to the batch is lost: repeats it with the next exchange. */
  lost(): void {
    this.#batch = UNSURE;
  }

  /** Releases the batch, whichever tab has claimed it. Jobs that were removed meanwhile are deleted. */
  async release(): Promise<void> {
    for (let reply: ExchangeReply | undefined; !reply || reply.jobs.length > 0; ) {
      if (this.#batch.kind === "inFlight") this.#batch = NONE;
      reply = await this.#exchange(0);
    }
  }

  /** Returns undefined when another tab was ahead: the batch of its last exchange is then in flight. */
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
      // An exchange that found nothing and changed nothing is not stored, and its number not used.
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
