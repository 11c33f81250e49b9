import {
  type ClaimedJob,
  type Clock,
  type Driver,
  type ExchangeReply,
  type ExchangeRequest,
  type JobRecord,
  QuaysideError,
  type Settlement,
} from "@quayside/core";
import { prefixWithin } from "./batch.ts";
import type { OutboxEmitter } from "./events.ts";
import { fingerprint } from "./fingerprint.ts";
import type { OutboxNames } from "./names.ts";
import { Pause } from "./pause.ts";
import { contentOf, unseal } from "./sealed-job.ts";
import { checkReceipts, partsOf, refusalOf, verdictOn } from "./verdict.ts";

/** Jobs in a batch, at most: a batch fits into one request of the API (1,000 jobs, 1 MiB). */
const BATCH = 200;
/** Cancels that one round carries. */
const CANCELS = 100;
/** A lease that nobody ever judges by its silence: the user may be offline for any time. 100 years. */
const LEASE_MS = 100 * 365 * 86_400_000;
/** Senders tried for one batch, before it is left for later. */
const SENDERS = 5;

export interface LineOptions {
  readonly queue: string;
  readonly names: OutboxNames;
  readonly local: Driver;
  readonly remote: Driver;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: OutboxEmitter;
  /** Told how each attempt to reach the remote went. */
  readonly heard: (error: unknown) => void;
}

/** What the register keeps of a line. */
export interface LineEntry {
  readonly queue: string;
  /** Who numbers the batches, to the remote. */
  readonly sender: string;
}

/**
 * Forwards the jobs of one queue, one batch at a time, in order.
 *
 * A batch is a claim: `local.exchange`, under a worker key that all tabs share, writes a lease record that holds its
 * number and its jobs before anything is sent (R26). Whoever goes on from there, this tab after a failure or another
 * after this one's death, learns the number from the exchange that is refused, repeats it, gets the very same jobs (R9),
 * and sends them under the same number and digest, which the remote knows again (R7). The next exchange settles the
 * outcomes and claims the next batch in the same transaction. So however many tabs believe to have the turn, they do the
 * same things under the same numbers, and each is done once (R27).
 */
export class Line {
  readonly #options: LineOptions;
  readonly #pause: Pause;
  /** The last exchange that is written down, as far as this tab knows. */
  #last = 0;
  /** Its jobs wait for the remote's answer: until then the same exchange is repeated. */
  #inHand = false;
  /** Its jobs have their outcomes, which the next exchange brings. */
  #holds = false;
  #settle: readonly Settlement[] = [];
  /** So many of the first jobs hold one that the remote refuses, and does not name. */
  #suspects = 0;
  /** This batch may have been sent before. */
  #unsure = false;
  #failures = 0;
  #senders = 0;
  #stopped = false;

  constructor(options: LineOptions) {
    this.#options = options;
    this.#pause = new Pause(options.clock);
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      this.#pause.begin();
      try {
        if (await this.#round()) continue;
        this.#failures = 0;
        await this.#pause.rest();
      } catch (error) {
        if (this.#stopped || partsOf(error).code === "closed") return;
        await this.#later(error);
      }
    }
  }

  /** There may be something new, or the remote may be back. */
  wake(): void {
    this.#pause.wake();
  }

  stop(): void {
    this.#stopped = true;
    this.#pause.stop();
  }

  /** Lets go of the batch in hand, in whatever tab it is: what was removed meanwhile goes for good. */
  async letGo(): Promise<void> {
    for (let reply: ExchangeReply | undefined; !reply || reply.jobs.length > 0; ) {
      this.#inHand = false;
      reply = await this.#exchange(0);
    }
  }

  /** One batch, or one more try of it. Answers whether to go on at once. */
  async #round(): Promise<boolean> {
    const reply = await this.#exchange(this.#suspects > 0 ? Math.ceil(this.#suspects / 2) : BATCH);
    if (!reply || this.#stopped) return true;
    const { queue, names } = this.#options;
    if (reply.jobs.length === 0) {
      // A repeat that answers nothing: the batch was taken out of our hands. What follows it is still to be asked for.
      const repeated = this.#inHand;
      this.#inHand = false;
      return repeated;
    }
    this.#inHand = true;
    const lane = names.jobs(queue);
    const cancels = reply.jobs.filter(({ job }) => job.queue !== lane);
    const jobs = prefixWithin(reply.jobs.filter(({ job }) => job.queue === lane));
    for (const { job } of cancels) await this.#carry(job);
    const outcomes = jobs.length > 0 ? await this.#send(jobs) : [];
    if (!outcomes || this.#stopped) return true;
    this.#settle = [...cancels.map(({ token }) => completed(token)), ...outcomes];
    this.#inHand = false;
    this.#holds = true;
    this.#unsure = false;
    this.#senders = 0;
    this.#failures = 0;
    return true;
  }

  /** The batch in hand again, or the next one. Undefined when another tab was ahead: then its last is now in hand. */
  async #exchange(limit: number): Promise<ExchangeReply | undefined> {
    const { local, names, queue } = this.#options;
    const number = this.#inHand ? this.#last : this.#last + 1;
    const request: ExchangeRequest = {
      worker: names.worker(queue),
      name: "outbox",
      liveness: "time",
      leaseMs: LEASE_MS,
      bystander: true,
      exchange: number,
      settle: this.#inHand ? [] : this.#settle,
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
      if (this.#inHand) return reply;
      // An exchange that found nothing and changed nothing is not written down, and its number not used.
      if (this.#holds || reply.jobs.length > 0) this.#last = number;
      this.#holds = false;
      this.#settle = [];
      return reply;
    } catch (error) {
      const { code, details } = partsOf(error);
      if (code !== "stale_exchange") throw error;
      this.#last = details["last"] as number;
      this.#inHand = true;
      this.#unsure = true;
      this.#holds = false;
      this.#settle = [];
      return undefined;
    }
  }

  /** What becomes of the jobs of the batch; undefined when it is to be sent again at once, from another sender. */
  async #send(claimed: readonly ClaimedJob[]): Promise<readonly Settlement[] | undefined> {
    const { clock, events, heard, queue, remote } = this.#options;
    const now = clock.now();
    const jobs = claimed.map(({ job }) => unseal(job, queue, now));
    const digest = fingerprint(...jobs.map(contentOf));
    const { sender } = await this.#entry();
    try {
      const receipts = await remote.enqueue(jobs, { sender, number: this.#last, digest });
      checkReceipts(receipts, jobs.length);
      heard(undefined);
      if (this.#stopped) return undefined;
      this.#suspects = Math.max(0, this.#suspects - jobs.length);
      events.emit("forwarded", { queue, ids: claimed.map(({ job }) => job.id), receipts });
      return claimed.map(({ token }) => completed(token));
    } catch (error) {
      if (this.#stopped) return undefined;
      const verdict = verdictOn(error);
      if (verdict.kind !== "again") heard(undefined);
      switch (verdict.kind) {
        case "again":
          this.#unsure = true;
          throw error;
        case "conflict":
          if (++this.#senders > SENDERS) throw error;
          await this.#newSender(sender, digest);
          return undefined;
        case "barred":
          return this.#refuse(claimed, error);
        case "refused":
          return this.#sift(claimed, verdict.jobs, error);
      }
    }
  }

  /** Nothing of the batch was stored. Whom the remote named is refused; the others keep their places for the next batch. */
  #sift(claimed: readonly ClaimedJob[], named: readonly number[], error: unknown): readonly Settlement[] {
    const culprits = claimed.length === 1 ? claimed : named.flatMap((position) => claimed[position] ?? []);
    // Nobody was named: half of them, until it is one.
    this.#suspects = culprits.length > 0 ? 0 : claimed.length;
    return culprits.flatMap((job) => this.#refuse([job], error, claimed.indexOf(job)));
  }

  #refuse(claimed: readonly ClaimedJob[], cause: unknown, position?: number): readonly Settlement[] {
    const { events, queue } = this.#options;
    const error = refusalOf(cause, position, this.#unsure);
    for (const { job } of claimed) events.emit("refused", { queue, id: job.id, error });
    return claimed.map(({ token }) => ({ token, outcome: "failed", error }));
  }

  /** Says to the remote what was asked of a job while it was on its way. */
  async #carry({ payload }: JobRecord): Promise<void> {
    const { events, queue, remote } = this.#options;
    const { type, id } = payload as { readonly type: "cancel" | "remove"; readonly id: string };
    try {
      await remote.command({ type, queue, id });
    } catch (error) {
      if (verdictOn(error).kind === "again") throw error;
      events.emit("error", { queue, error, retryInMs: Number.POSITIVE_INFINITY });
    }
  }

  /** Read for each batch, after it was claimed: another tab may have changed the sender before it went on to this one. */
  async #entry(): Promise<LineEntry> {
    const { local, names, queue } = this.#options;
    const record = await local.get(names.register, queue);
    if (!record) throw new QuaysideError("job_not_found", `The outbox of queue ${queue} was purged.`, { queue });
    return record.payload as LineEntry;
  }

  /**
   * The number was used for other jobs: this database is the copy of one that went on by itself. From here on it numbers
   * for itself, under a name that follows from the batch, so that two tabs that find this out choose the same.
   */
  async #newSender(sender: string, digest: string): Promise<void> {
    const { local, names, queue } = this.#options;
    // It did so before us, and may be further by now.
    if ((await this.#entry()).sender !== sender) return;
    const entry: LineEntry = { queue, sender: fingerprint(sender, `${this.#last}`, digest) };
    await local.command({ type: "update", queue: names.register, id: queue, payload: JSON.stringify(entry) });
  }

  async #later(error: unknown): Promise<void> {
    const { events, heard, queue, random } = this.#options;
    const verdict = verdictOn(error);
    const asked = verdict.kind === "again" ? verdict.retryAfterMs : undefined;
    heard(error);
    const ms = this.#pause.lengthAfter(++this.#failures, asked, random());
    events.emit("error", { queue, error, retryInMs: ms });
    await this.#pause.rest(ms, asked === undefined ? 0 : ms);
  }
}

const completed = (token: string): Settlement => ({ token, outcome: "completed" });
