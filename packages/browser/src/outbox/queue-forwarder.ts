import { type Clock, type Driver, type JobRecord, QuaysideError } from "@quayside/core";
import type { ClaimedJob, ExchangeReply, ExchangeRequest, Settlement } from "@quayside/core/engine";
import { prefixWithin } from "./batch-size.ts";
import {
  checkReceipts,
  classifyRemoteError,
  partsOf,
  type RemoteErrorClass,
  refusalOf,
} from "./classify-remote-error.ts";
import { contentOf, unseal } from "./envelope.ts";
import type { OutboxEmitter } from "./events.ts";
import { fingerprint } from "./fingerprint.ts";
import type { OutboxNames } from "./local-queue-names.ts";
import { heeded, lengthAfter, Pause } from "./retry-pause.ts";

/** Jobs in a batch, at most: a batch fits into one request of the API (1,000 jobs, 1 MiB). */
const BATCH = 200;
/** Cancels that one round carries. */
const CANCELS = 100;
/** A lease that nobody ever judges by its silence: the user may be offline for any time. 100 years. */
const LEASE_MS = 100 * 365 * 86_400_000;
/** Changes of its sender or subject that are tried for one batch, before it is left for later. */
const SENDERS = 5;
/** A remote that has not answered by then, whatever its own timeout, is asked again: the number tells that it is a repeat. */
const ANSWER_MS = 600_000;

export interface QueueForwarderOptions {
  readonly queue: string;
  readonly names: OutboxNames;
  readonly local: Driver;
  readonly remote: Driver;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: OutboxEmitter;
  /** Told how each attempt to reach the remote went, and when the line is held or let go on. */
  readonly heard: (error: unknown) => void;
  /** The remote takes a token again: others that are held may try theirs. */
  readonly resumed: () => void;
  /** Nothing is left to send. */
  readonly emptied: () => void;
}

/** What the register keeps of a line. */
export interface QueueForwarderEntry {
  readonly queue: string;
  /** Who numbers the batches, to the remote. */
  readonly sender: string;
  /** The label of the subject for whom the batch in hand is sent, and each one after it; absent before the remote told one. */
  readonly subject?: string;
}

/** The next step for the jobs that a line claimed last. */
type Batch =
  /** Nothing is claimed. */
  | { readonly kind: "none" }
  /** They wait for the remote's answer: until then the same exchange is repeated. `unsure`: it may have been sent before. */
  | { readonly kind: "inHand"; readonly unsure: boolean }
  /** They have their outcomes, which the next exchange brings. */
  | { readonly kind: "decided"; readonly settle: readonly Settlement[] };

/** The remote, and not the store here, failed or refused. */
class RemoteFailure {
  readonly cause: unknown;
  readonly verdict: RemoteErrorClass;

  constructor(cause: unknown, verdict = classifyRemoteError(cause)) {
    this.cause = cause;
    this.verdict = verdict;
  }
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
export class QueueForwarder {
  readonly #options: QueueForwarderOptions;
  readonly #pause: Pause;
  /** The last exchange that is written down, as far as this tab knows. */
  #last = 0;
  /** Whether this tab has asked what is written down: its own first number may be that of a batch of an earlier page. */
  #asked = false;
  #batch: Batch = NONE;
  /** So many of the first jobs hold one that the remote refuses, and does not name. */
  #suspects = 0;
  #failures = 0;
  #senders = 0;
  #mode: "open" | "held" | "stopped" = "open";

  constructor(options: QueueForwarderOptions) {
    this.#options = options;
    this.#pause = new Pause(options.clock);
  }

  /** The remote refuses the token: the line is held, and tries again at intervals. */
  get held(): boolean {
    return this.#mode === "held";
  }

  get #stopped(): boolean {
    return this.#mode === "stopped";
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      this.#pause.begin();
      try {
        if (await this.#round()) continue;
        this.#answered();
        this.#options.emptied();
        await this.#pause.untilWoken();
      } catch (failure) {
        if (this.#stopped) return;
        const remote = failure instanceof RemoteFailure ? failure : undefined;
        // The app has closed the store under this outbox: nothing can be done here any more.
        if (!remote && partsOf(failure).code === "closed") return this.#over(failure);
        await this.#later(remote?.cause ?? failure, remote?.verdict);
      }
    }
  }

  /** There may be something new, or the remote may be back: try again, `afterMs` after the last failure at the earliest. */
  wake(afterMs: number): void {
    this.#pause.wake(afterMs);
  }

  stop(): void {
    this.#mode = "stopped";
    this.#pause.stop();
  }

  /** Lets go of the batch in hand, in whatever tab it is: what was removed meanwhile goes for good. */
  async letGo(): Promise<void> {
    for (let reply: ExchangeReply | undefined; !reply || reply.jobs.length > 0; ) {
      if (this.#batch.kind === "inHand") this.#batch = NONE;
      reply = await this.#exchange(0);
    }
  }

  /** One batch, or one more try of it. Answers whether to go on at once. */
  async #round(): Promise<boolean> {
    if (!this.#asked) {
      // Claims nothing. Where any exchange is written down this one is refused, and its batch is in hand.
      await this.#exchange(0, 0);
      this.#asked = true;
    }
    const reply = await this.#exchange(this.#suspects > 0 ? Math.ceil(this.#suspects / 2) : BATCH);
    if (!reply || this.#stopped) return true;
    const { queue, names } = this.#options;
    if (reply.jobs.length === 0) {
      // A repeat that answers nothing: the batch was taken out of our hands. What follows it is still to be asked for.
      const repeated = this.#batch.kind === "inHand";
      this.#batch = NONE;
      return repeated;
    }
    if (this.#batch.kind !== "inHand") this.#batch = { kind: "inHand", unsure: false };
    const lane = names.jobs(queue);
    const cancels = reply.jobs.filter(({ job }) => job.queue !== lane);
    const jobs = prefixWithin(reply.jobs.filter(({ job }) => job.queue === lane));
    for (const { job } of cancels) await this.#carry(job);
    const outcomes = jobs.length > 0 ? await this.#send(jobs) : [];
    if (!outcomes || this.#stopped) return true;
    this.#batch = { kind: "decided", settle: [...cancels.map(({ token }) => completed(token)), ...outcomes] };
    this.#senders = 0;
    this.#answered();
    return true;
  }

  /** The batch in hand again, or the next one. Undefined when another tab was ahead: then its last is now in hand. */
  async #exchange(
    limit: number,
    number = this.#batch.kind === "inHand" ? this.#last : this.#last + 1,
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
      if (kind === "inHand") return reply;
      // An exchange that found nothing and changed nothing is not written down, and its number not used.
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

  /** Returns the outcome of the jobs of the batch; undefined when it is to be sent again at once, from another sender or for another subject. */
  async #send(claimed: readonly ClaimedJob[]): Promise<readonly Settlement[] | undefined> {
    const { clock, events, heard, queue, remote } = this.#options;
    const now = clock.now();
    const jobs = claimed.map(({ job }) => unseal(job, queue, now));
    const digest = fingerprint(...jobs.map(contentOf));
    const entry = await this.#entry();
    const { sender, subject = "" } = entry;
    try {
      const receipts = await this.#answer(remote.enqueue(jobs, { sender, number: this.#last, digest, subject }));
      checkReceipts(receipts, jobs);
      heard(undefined);
      if (this.#stopped) return undefined;
      this.#suspects = Math.max(0, this.#suspects - jobs.length);
      events.emit("forwarded", { queue, ids: claimed.map(({ job }) => job.id), receipts });
      return claimed.map(({ token }) => completed(token));
    } catch (error) {
      if (this.#stopped) return undefined;
      const verdict = classifyRemoteError(error);
      if (verdict.kind !== "again" && verdict.kind !== "auth") heard(undefined);
      switch (verdict.kind) {
        case "again":
          this.#batch = UNSURE;
          throw new RemoteFailure(error, verdict);
        case "auth":
          if (verdict.subject === undefined || !this.#bindable(entry)) throw new RemoteFailure(error, verdict);
          await this.#change(entry, { subject: verdict.subject });
          return undefined;
        case "conflict":
          if (++this.#senders > SENDERS) throw new RemoteFailure(error, verdict);
          // This database is the copy of one that went on by itself. From here on it numbers for itself, under a name that
          // follows from the batch, so that two tabs that find this out choose the same.
          await this.#change(entry, { sender: fingerprint(sender, `${this.#last}`, digest) });
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
    const error = refusalOf(cause, position, this.#batch.kind === "inHand" && this.#batch.unsure);
    for (const { job } of claimed) events.emit("refused", { queue, id: job.id, error });
    return claimed.map(({ token }) => ({ token, outcome: "failed", error }));
  }

  /** Says to the remote what was asked of a job while it was on its way. */
  async #carry({ payload }: JobRecord): Promise<void> {
    const { events, queue, remote } = this.#options;
    const { type, id } = payload as { readonly type: "cancel" | "remove"; readonly id: string };
    try {
      await this.#answer(remote.command({ type, queue, id }));
    } catch (error) {
      const verdict = classifyRemoteError(error);
      if (verdict.kind === "again" || verdict.kind === "auth") throw new RemoteFailure(error, verdict);
      events.emit("error", { queue, error, retryInMs: Number.POSITIVE_INFINITY });
    }
  }

  #answer<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = () => reject(new QuaysideError("network", `The remote has not answered for ${ANSWER_MS} ms.`));
      const cancel = this.#options.clock.after(ANSWER_MS, late);
      answer.then(resolve, reject).finally(cancel);
    });
  }

  /** Read for each batch, after it was claimed: another tab may have changed the sender before it went on to this one. */
  async #entry(): Promise<QueueForwarderEntry> {
    const { local, names, queue } = this.#options;
    const record = await local.get(names.register, queue);
    if (!record) throw new QuaysideError("job_not_found", `The outbox of queue ${queue} was purged.`, { queue });
    return record.payload as QueueForwarderEntry;
  }

  /**
   * Whether the batch may go to another subject than before (R37): before the first send of it that may have arrived. One
   * that was refused for its subject did not arrive. The first batch of all is sent for none, and the remote tells for whom.
   */
  #bindable({ subject }: QueueForwarderEntry): boolean {
    const unsure = this.#batch.kind === "inHand" && this.#batch.unsure;
    return (subject === undefined || !unsure) && ++this.#senders <= SENDERS;
  }

  /** Changes what the register keeps, unless another tab has changed it meanwhile: it may be further by now. */
  async #change(before: QueueForwarderEntry, change: Partial<QueueForwarderEntry>): Promise<void> {
    const { local, names, queue } = this.#options;
    const { sender, subject } = await this.#entry();
    if (sender !== before.sender || subject !== before.subject) return;
    const payload = JSON.stringify({ ...before, ...change });
    await local.command({ type: "update", queue: names.register, id: queue, payload });
  }

  async #later(error: unknown, verdict?: RemoteErrorClass): Promise<void> {
    const { events, heard, queue, random } = this.#options;
    const begins = verdict?.kind === "auth" && !this.held;
    if (begins) this.#mode = "held";
    heard(error);
    this.#senders = 0;
    const askedMs = verdict?.kind === "again" ? heeded(verdict.retryAfterMs) : 0;
    const ms = lengthAfter(++this.#failures, askedMs, random());
    events.emit("error", { queue, error, retryInMs: ms });
    if (begins) events.emit("paused", { queue, reason: "auth", error });
    await this.#pause.rest(ms, askedMs);
  }

  /** The remote took the batch or refused it for good, or there is nothing to send. */
  #answered(): void {
    const { events, heard, queue, resumed } = this.#options;
    this.#failures = 0;
    if (!this.held) return;
    this.#mode = "open";
    heard(undefined);
    events.emit("resumed", { queue });
    resumed();
  }

  #over(error: unknown): void {
    const { events, queue } = this.#options;
    this.stop();
    events.emit("error", { queue, error, retryInMs: Number.POSITIVE_INFINITY });
  }
}

const NONE: Batch = { kind: "none" };
const UNSURE: Batch = { kind: "inHand", unsure: true };

const completed = (token: string): Settlement => ({ token, outcome: "completed" });
