import { type Clock, type Driver, type JobRecord, QuaysideError } from "@quayside/core";
import type { ClaimedJob, Settlement } from "@quayside/core/engine";
import { BATCH, BatchClaim } from "./batch-claim.ts";
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
import type { OutboxNames, RegisterEntry } from "./local-queue-names.ts";
import { boundedRetryAfter, Pause, retryDelayMs } from "./retry-pause.ts";

/** Maximum number of changes of sender or subject for one batch. After more, the batch waits as after a failure. */
const MAX_REBINDS = 5;
/** Time after which an unanswered request is sent again, in ms. The batch's number marks it as a repeat. */
const ANSWER_MS = 600_000;

export interface QueueForwarderOptions {
  readonly queue: string;
  readonly names: OutboxNames;
  readonly local: Driver;
  readonly remote: Driver;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: OutboxEmitter;
  /**
   * Called after each attempt to reach the remote, with its error or undefined, and when the queue is held or resumed.
   */
  readonly attempted: (error: unknown) => void;
  /** Called when the remote accepts a token again, so that other held queues are tried, too. */
  readonly resumed: () => void;
}

/** A failure or refusal of the remote, as opposed to an error of the local store. */
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
 * A batch (`BatchClaim`) is sent with its number and a digest of its jobs. If any tab sends it again, the remote
 * recognises number and digest and answers as before (R7). So when several tabs forward at once, each batch is executed
 * once (R27).
 */
export class QueueForwarder {
  readonly #options: QueueForwarderOptions;
  readonly #pause: Pause;
  readonly #claim: BatchClaim;
  /** Number of jobs, from the first of the batch, of which the remote refuses at least one without saying which. */
  #suspects = 0;
  #failures = 0;
  #rebinds = 0;
  #mode: "open" | "held" | "stopped" = "open";

  constructor(options: QueueForwarderOptions) {
    this.#options = options;
    this.#pause = new Pause(options.clock);
    this.#claim = new BatchClaim(options);
  }

  /** Whether the remote refuses the token, so that the queue is only tried at intervals. */
  get held(): boolean {
    return this.#mode === "held";
  }

  get #stopped(): boolean {
    return this.#mode === "stopped";
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      this.#pause.reset();
      try {
        if (await this.#round()) continue;
        this.#answered();
        await this.#pause.untilWoken();
      } catch (failure) {
        if (this.#stopped) return;
        const remote = failure instanceof RemoteFailure ? failure : undefined;
        // The app has closed the local store: no job can be read any more.
        if (!remote && partsOf(failure).code === "closed") return this.#end(failure);
        await this.#waitAfterFailure(remote?.cause ?? failure, remote?.verdict);
      }
    }
  }

  /**
   * Tries again because jobs were added or the network is back; not before `afterMs` have passed since the last
   * failure.
   */
  wake(afterMs: number): void {
    this.#pause.wake(afterMs);
  }

  stop(): void {
    this.#mode = "stopped";
    this.#pause.stop();
  }

  /**
   * Releases the jobs of the running batch, whichever tab has claimed it. Jobs that were removed meanwhile are deleted.
   */
  releaseBatch(): Promise<void> {
    return this.#claim.release();
  }

  /** Sends a new batch, or the running one again. Returns whether to continue at once. */
  async #round(): Promise<boolean> {
    const claimed = await this.#claim.next(this.#suspects > 0 ? Math.ceil(this.#suspects / 2) : BATCH);
    if (!claimed || this.#stopped) return true;
    if (claimed.length === 0) return false;
    const { queue, names } = this.#options;
    const local = names.jobs(queue);
    const cancels = claimed.filter(({ job }) => job.queue !== local);
    const jobs = prefixWithin(claimed.filter(({ job }) => job.queue === local));
    for (const { job } of cancels) await this.#sendCancel(job);
    const outcomes = jobs.length > 0 ? await this.#send(jobs) : [];
    if (!outcomes || this.#stopped) return true;
    this.#claim.settle([...cancels.map(({ token }) => completed(token)), ...outcomes]);
    this.#rebinds = 0;
    this.#answered();
    return true;
  }

  /**
   * Sends the claimed jobs and returns their outcomes. Undefined: send the batch again at once, from another sender or
   * for another subject.
   */
  async #send(claimed: readonly ClaimedJob[]): Promise<readonly Settlement[] | undefined> {
    const { clock, events, attempted, queue, remote } = this.#options;
    const now = clock.now();
    const jobs = claimed.map(({ job }) => unseal(job, queue, now));
    const digest = fingerprint(...jobs.map(contentOf));
    const entry = await this.#entry();
    const { sender, subject = "" } = entry;
    try {
      const receipts = await this.#answer(
        remote.enqueue(jobs, { sender, number: this.#claim.number, digest, subject }),
      );
      checkReceipts(receipts, jobs);
      attempted(undefined);
      if (this.#stopped) return undefined;
      this.#suspects = Math.max(0, this.#suspects - jobs.length);
      events.emit("forwarded", { queue, ids: claimed.map(({ job }) => job.id), receipts });
      return claimed.map(({ token }) => completed(token));
    } catch (error) {
      if (this.#stopped) return undefined;
      const verdict = classifyRemoteError(error);
      if (verdict.kind !== "again" && verdict.kind !== "auth") attempted(undefined);
      switch (verdict.kind) {
        case "again":
          this.#claim.lost();
          throw new RemoteFailure(error, verdict);
        case "auth":
          if (verdict.subject === undefined || !this.#bindable(entry)) throw new RemoteFailure(error, verdict);
          await this.#change(entry, { subject: verdict.subject });
          return undefined;
        case "conflict":
          if (++this.#rebinds > MAX_REBINDS) throw new RemoteFailure(error, verdict);
          // This database is a copy, and the original has sent other jobs under this number. The copy takes a new
          // sender, computed from the batch, so that two tabs compute the same one.
          await this.#change(entry, { sender: fingerprint(sender, `${this.#claim.number}`, digest) });
          return undefined;
        case "barred":
          return this.#refuse(claimed, error);
        case "refused":
          return this.#refuseNamed(claimed, verdict.jobs, error);
      }
    }
  }

  /**
   * Returns the refusals of the jobs that the remote named. The other jobs of the batch were not stored; they are sent
   * with the next batch.
   */
  #refuseNamed(claimed: readonly ClaimedJob[], named: readonly number[], error: unknown): readonly Settlement[] {
    const culprits = claimed.length === 1 ? claimed : named.flatMap((position) => claimed[position] ?? []);
    // The remote named no job: sends half of them until one is left.
    this.#suspects = culprits.length > 0 ? 0 : claimed.length;
    return culprits.flatMap((job) => this.#refuse([job], error, claimed.indexOf(job)));
  }

  #refuse(claimed: readonly ClaimedJob[], cause: unknown, position?: number): readonly Settlement[] {
    const { events, queue } = this.#options;
    const error = refusalOf(cause, position, this.#claim.unsure);
    for (const { job } of claimed) events.emit("refused", { queue, id: job.id, error });
    return claimed.map(({ token }) => ({ token, outcome: "failed", error }));
  }

  /** Sends a stored request to cancel or remove a job. */
  async #sendCancel({ payload }: JobRecord): Promise<void> {
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

  /**
   * Reads the queue's entry in the register. Called after each claim, because another tab may have changed the sender
   * before this batch.
   */
  async #entry(): Promise<RegisterEntry> {
    const { local, names, queue } = this.#options;
    const record = await local.get(names.register, queue);
    if (!record) throw new QuaysideError("job_not_found", `The outbox of queue ${queue} was purged.`, { queue });
    return record.payload as RegisterEntry;
  }

  /**
   * Returns whether the batch may be sent for another subject than before (R37): only if no send of it may have
   * arrived. A batch that was refused for its subject did not arrive. The first batch of a queue is sent without a
   * subject; the remote returns the subject.
   */
  #bindable({ subject }: RegisterEntry): boolean {
    return (subject === undefined || !this.#claim.unsure) && ++this.#rebinds <= MAX_REBINDS;
  }

  /** Changes the queue's entry in the register, unless another tab has changed it meanwhile. */
  async #change(before: RegisterEntry, change: Partial<RegisterEntry>): Promise<void> {
    const { local, names, queue } = this.#options;
    const { sender, subject } = await this.#entry();
    if (sender !== before.sender || subject !== before.subject) return;
    const payload = JSON.stringify({ ...before, ...change });
    await local.command({ type: "update", queue: names.register, id: queue, payload });
  }

  async #waitAfterFailure(error: unknown, verdict?: RemoteErrorClass): Promise<void> {
    const { events, attempted, queue, random } = this.#options;
    const begins = verdict?.kind === "auth" && !this.held;
    if (begins) this.#mode = "held";
    attempted(error);
    this.#rebinds = 0;
    const askedMs = verdict?.kind === "again" ? boundedRetryAfter(verdict.retryAfterMs) : 0;
    const ms = retryDelayMs(++this.#failures, askedMs, random());
    events.emit("error", { queue, error, retryInMs: ms });
    if (begins) events.emit("paused", { queue, reason: "auth", error });
    await this.#pause.wait(ms, askedMs);
  }

  /** Resets the failures: the remote stored or finally refused the batch, or there are no jobs to send. */
  #answered(): void {
    const { events, attempted, queue, resumed } = this.#options;
    this.#failures = 0;
    if (!this.held) return;
    this.#mode = "open";
    attempted(undefined);
    events.emit("resumed", { queue });
    resumed();
  }

  #end(error: unknown): void {
    const { events, queue } = this.#options;
    this.stop();
    events.emit("error", { queue, error, retryInMs: Number.POSITIVE_INFINITY });
  }
}

const completed = (token: string): Settlement => ({ token, outcome: "completed" });
