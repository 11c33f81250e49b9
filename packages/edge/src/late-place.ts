import {
  type AttemptReport,
  type ClaimedJob,
  type Clock,
  type ExchangeReply,
  type ExchangeRequest,
  isA,
  QuaysideError,
  type Settlement,
  toStoredError,
} from "@quayside/core";
import { isTrouble, within } from "./patience.ts";

/** How long an exchange waits for one place among several. What answers later is asked apart from the others. */
export const PATIENCE_MS = 1_000;
/** How long a place that is asked apart may take for its answer. */
const ANSWER_MS = 30_000;
/** How long a place is sent the leave of a worker that has left: once more after a request that it does not answer. */
const LEAVE_MS = 2 * ANSWER_MS;
/** Between two sends of one exchange: doubled each time. */
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
/** Log lines of one attempt that wait for a place to answer. */
const LOG_LINES_MOST = 100;

export interface LatePlaceOptions {
  readonly place: string;
  readonly clock: Clock;
  /** How long an exchange with it and others waits for it. Within half of that, it answers at once. */
  readonly patienceMs: number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly exchange: (request: ExchangeRequest) => Promise<ExchangeReply>;
  /** Called when there is something to collect. */
  readonly arrived: () => void;
  /** By the monotonic clock: when the place last answered the worker, as far as is known. */
  readonly answeredAt: number;
  /** After so many answers at once it is asked together with the others again. */
  readonly promptAnswers: number;
}

/** A place's news for its worker, since they were last collected. */
export type Arrived = Pick<ExchangeReply, "lost" | "cancel" | "interrupted" | "unknown"> & {
  readonly troubles: readonly unknown[];
};

/**
 * A worker's exchanges with one place (a shard, say) that answers late or not at all. They go on beside the worker's
 * exchanges with other places, one at a time, each sent again unchanged until it is answered (R9). Meanwhile the worker's
 * settlements for the place are kept for the next one.
 */
export class LatePlace {
  readonly #options: LatePlaceOptions;
  /** Sent, and not answered yet. */
  #pending: ExchangeRequest | undefined;
  /** The worker's last exchange that has not been sent. */
  #next: ExchangeRequest | undefined;
  #settle: Settlement[] = [];
  #reports = new Map<string, AttemptReport>();
  /** Number of the last exchange that was taken in. */
  #taken: number;
  #sending: Promise<void> | undefined;
  #closed = false;
  #stopPause: () => void = () => {};
  #answeredAt: number;
  #said = new Set<string>();
  #jobs: ClaimedJob[] = [];
  /** Tokens of jobs that the worker has and that the last exchange taken in does not name yet. */
  #collected: string[] = [];
  #alone: boolean;
  #isLost = false;
  #news = { lost: [], cancel: [], interrupted: [], unknown: [], troubles: [] } as {
    -readonly [Name in keyof Arrived]: Arrived[Name][number][];
  };
  /** Sends of the pending exchange that failed in a row. The first one has. */
  #fails = 1;
  /** Answers at once until it is asked with the others again. */
  #toWait: number;

  /** @param first the exchange that the place did not answer. */
  constructor(options: LatePlaceOptions, first: ExchangeRequest, trouble: unknown, alone: boolean) {
    this.#options = options;
    this.#answeredAt = options.answeredAt;
    this.#taken = first.exchange;
    this.#toWait = options.promptAnswers;
    this.#pending = first;
    this.#alone = alone;
    this.#said.add(causeOf(trouble));
    this.#send();
  }

  get promptAnswers(): number {
    return this.#options.promptAnswers;
  }

  /** It answers at once, and nothing is left to send or to collect. */
  get isPrompt(): boolean {
    return this.#toWait <= 0 && !this.#pending && !this.#next && this.#settle.length + this.#jobs.length === 0;
  }

  /** A job of this place runs alone, or waits to. */
  isAlone(running: readonly string[]): boolean {
    return this.#alone && (this.#jobs.length > 0 || running.length > 0);
  }

  /** Takes jobs that wait here for the worker: they are its own from now on. */
  collectJobs(limit: number): readonly ClaimedJob[] {
    const jobs = this.#jobs.splice(0, limit);
    this.#collected = this.#collected.concat(jobs.map(({ token }) => token));
    return jobs;
  }

  /** They were not taken over after all. */
  putBack(jobs: readonly ClaimedJob[]): void {
    this.#collected = [];
    this.#jobs = [...jobs, ...this.#jobs];
  }

  collect(): Arrived {
    const news = this.#news;
    this.#news = { lost: [], cancel: [], interrupted: [], unknown: [], troubles: [] };
    return news;
  }

  /** The place was silent for longer than the lease: others may have what the worker holds there (R14). */
  get isLost(): boolean {
    return this.#isLost;
  }

  expire(leaseMs: number): void {
    this.#isLost = this.#options.clock.monotonic() - this.#answeredAt > leaseMs;
    if (this.#isLost) this.#jobs = [];
  }

  /** Takes in a worker's exchange, as far as it is about this place, to be sent after the one that has no answer yet. */
  take(request: ExchangeRequest): void {
    if (request.exchange <= this.#taken) return;
    this.#taken = request.exchange;
    this.#settle = this.#settle.concat(request.settle);
    for (const report of request.progress ?? []) this.#reports.set(report.token, this.#joined(report));
    this.#collected = [];
    const running = this.#isLost ? [] : request.running;
    const { settle: _, progress: __, ...rest } = request;
    const says =
      this.#settle.length + running.length + this.#jobs.length > 0 || request.claim.limit > 0 || request.leave === true;
    if (!says) return;
    this.#next = { ...rest, settle: [], running };
    this.#send();
  }

  /** Its worker has left: resolves once all that was taken in is answered. What is not in a minute is given up. */
  async leave(): Promise<void> {
    this.#stopPause();
    const stop = this.#options.clock.after(LEAVE_MS, () => this.close());
    await this.#sending;
    stop();
    this.close();
  }

  close(): void {
    this.#closed = true;
    this.#stopPause();
  }

  #send(): void {
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
  }

  async #sendAll(): Promise<void> {
    const { clock, patienceMs, random, exchange, place, arrived } = this.#options;
    if (this.#fails > 0) await this.#pause(retryMs(this.#fails, random()));
    while (!this.#closed) {
      this.#pending ??= this.#compose();
      const request = this.#pending;
      if (!request) return;
      const began = clock.monotonic();
      try {
        const reply = await within(clock, ANSWER_MS, `Shard ${place}`, exchange(request));
        if (this.#closed) return;
        this.#pending = undefined;
        this.#answeredAt = began;
        if (clock.monotonic() - began <= patienceMs / 2) this.#toWait--;
        const news = this.#receive(reply, request) || this.#fails > 0 || this.isPrompt || this.#settle.length > 0;
        this.#fails = 0;
        if (news) arrived();
      } catch (error) {
        if (this.#closed) return;
        if (isTrouble(error)) {
          this.#report(error);
          await this.#pause(retryMs(++this.#fails, random()));
        } else {
          this.#pending = this.#withoutRefused(request, error);
          if (!this.#pending) this.#news.troubles.push(error);
        }
      }
    }
  }

  #compose(): ExchangeRequest | undefined {
    const next = this.#next;
    if (!next) return undefined;
    this.#next = undefined;
    const settle = this.#settle;
    const progress = [...this.#reports.values()];
    this.#settle = [];
    this.#reports.clear();
    // A worker that has left takes over nothing more.
    if (next.leave) this.#jobs = [];
    const waiting = this.#jobs.map(({ token }) => token);
    return {
      ...next,
      settle,
      running: [...next.running, ...this.#collected, ...waiting],
      claim: waiting.length + this.#collected.length > 0 ? { ...next.claim, limit: 0 } : next.claim,
      ...(progress.length > 0 && { progress }),
    };
  }

  /** Returns whether the worker has to look. */
  #receive(reply: ExchangeReply, request: ExchangeRequest): boolean {
    const { jobs, alone, lost, cancel, interrupted, unknown } = reply;
    this.#alone = alone === true;
    this.#jobs = this.#jobs.concat(jobs);
    const settled = new Set(request.settle.map(({ token }) => token));
    const news = this.#news;
    this.#news = {
      lost: news.lost.concat(lost.filter((token) => !settled.has(token))),
      cancel: news.cancel.concat(cancel),
      interrupted: news.interrupted.concat(interrupted),
      unknown: news.unknown.concat(unknown),
      troubles: news.troubles,
    };
    return jobs.length + lost.length + cancel.length + interrupted.length > 0;
  }

  /** The request was refused and would be again (R30): half of it goes, then reports, then the attempt fails. */
  #withoutRefused(request: ExchangeRequest, error: unknown): ExchangeRequest | undefined {
    const { progress, ...rest } = request;
    const { settle } = rest;
    // A later one was answered: this one has been, too, or its worker is another's by now.
    if (isA(QuaysideError, error) && error.code === "stale_exchange") return undefined;
    if (settle.length > 1) {
      const half = Math.ceil(settle.length / 2);
      this.#settle = [...settle.slice(half), ...this.#settle];
      return { ...request, settle: settle.slice(0, half) };
    }
    if (progress) return rest;
    const [only] = settle;
    if (!only || (only.outcome === "failed" && only.error.code === "invalid_result")) return undefined;
    const message = `How this attempt ended could not be stored: ${toStoredError(error).message}`.slice(0, 1_000);
    return { ...rest, settle: [{ token: only.token, outcome: "failed", error: { code: "invalid_result", message } }] };
  }

  /** Once for each cause, until the place is asked with the others again. */
  #report(error: unknown): void {
    const cause = causeOf(error);
    if (this.#said.has(cause)) return;
    this.#said.add(cause);
    this.#news.troubles.push(error);
  }

  /** Joins an attempt's earlier report, which no exchange has taken, with this one. */
  #joined(report: AttemptReport): AttemptReport {
    const log = [...(this.#reports.get(report.token)?.log ?? []), ...(report.log ?? [])].slice(-LOG_LINES_MOST);
    return { ...this.#reports.get(report.token), ...report, ...(log.length > 0 && { log }) };
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#options.clock.after(ms, resolve);
      this.#stopPause = () => {
        stop();
        resolve();
      };
    });
  }
}

const causeOf = (error: unknown): string => (isA(QuaysideError, error) ? error.code : String(error));

const retryMs = (fails: number, random: number): number =>
  Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(fails - 1, 10)) * (0.5 + random / 2);
