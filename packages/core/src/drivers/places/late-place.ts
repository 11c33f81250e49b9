import type { Clock } from "../../engine/clock.ts";
import { partOfRefused } from "../../engine/refused-part.ts";
import type {
  AttemptReport,
  ClaimedJob,
  ClaimQueue,
  ExchangeReply,
  ExchangeRequest,
  Settlement,
} from "../../engine/verbs.ts";
import { isA, isQuaysideError, QuaysideError } from "../../job/errors.ts";
import * as LIMITS from "../../job/limits.ts";
import { backoffDelay } from "../../job/retry.ts";
import { type Arrived, PlaceNews } from "./place-news.ts";

/** Longest wait of an exchange for one of several places, in ms. A slower place is asked separately. */
export const PATIENCE_MS = 1_000;
/** Longest time for an answer of a place that is asked separately, in ms. Then the request is repeated. */
const ANSWER_MS = 30_000;
/** Time for the first answer, in multiples of `patienceMs`. Doubled after each failed send, up to `ANSWER_MS`. */
const FIRST_ANSWER = 4;
/** Time for which a worker that has stopped tries to end its lease at a place, in ms. */
const LEAVE_MS = 2 * ANSWER_MS;
/** Pauses between two sends of one exchange, growing with each failure. */
const RETRY = { kind: "exponential", delayMs: 500, factor: 2, maxMs: 30_000, jitter: 0.5 } as const;
/** Longest pause that a place may request, in ms. */
const LONGEST_ASKED_MS = 300_000;

export interface LatePlaceOptions {
  readonly place: string;
  readonly clock: Clock;
  /** Longest wait of an exchange with several places for this one, in ms. An answer within half of it is prompt. */
  readonly patienceMs: number;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
  /** Runs an exchange with the place. Rejects with `network` after `ms`. */
  readonly exchange: (request: ExchangeRequest, ms: number) => Promise<ExchangeReply>;
  /** Called when there are results for the worker to collect. */
  readonly arrived: () => void;
  /** Time of the place's last answer to the worker, by the monotonic clock. */
  readonly answeredAt: number;
  /** Number of prompt answers after which the place is again asked together with the other places. */
  readonly promptAnswers: number;
  /** Whether an isolated job of the place runs or waits to run. */
  readonly isAlone: boolean;
  /** Tokens of settlements that the place has received and that one of its shards has not answered. */
  readonly open: readonly string[];
}

/**
 * A worker's exchanges with one place that is slow, unreachable or refuses a request. They run independently of the
 * other places, one at a time, and each is repeated unchanged until it is answered (R9). The worker's settlements for
 * the place wait for the next exchange.
 */
export class LatePlace {
  readonly #options: LatePlaceOptions;
  /** The exchange that was sent and not answered yet. */
  #pending: ExchangeRequest | undefined;
  /** The worker's last exchange, not sent yet. */
  #next: ExchangeRequest | undefined;
  #settle: Settlement[] = [];
  #reports = new Map<string, AttemptReport>();
  /** Number of the worker's last exchange whose part `take` has accepted. */
  #taken: number;
  #sending: Promise<void> | undefined;
  #closed = false;
  #stopPause: () => void = () => {};
  #answeredAt: number;
  #said = new Set<string>();
  #jobs: ClaimedJob[] = [];
  /** Tokens of jobs that the worker has collected, and that its last exchange does not list yet. */
  #collected: string[] = [];
  #alone: boolean;
  /** Whether the place was silent for longer than the lease, so that other workers may have its jobs (R14). */
  isLost = false;
  readonly #news: PlaceNews;
  /** Number of successive failed sends of the pending exchange. */
  #fails = 0;
  readonly promptAnswers: number;
  /** Number of prompt answers that are missing until the place is asked together with the others again. */
  #toWait: number;

  /** Begins the exchanges with a late place. Repeats `first` at once, unless the error `trouble` requests a pause. */
  constructor(options: LatePlaceOptions, first: ExchangeRequest, trouble: unknown) {
    this.#options = options;
    this.#answeredAt = options.answeredAt;
    this.#taken = first.exchange;
    this.promptAnswers = this.#toWait = options.promptAnswers;
    this.#pending = first;
    this.#alone = options.isAlone;
    this.#news = new PlaceNews(options.open);
    this.#said.add(causeOf(trouble));
    this.#send(askedMs(trouble, first));
  }

  /** Whether the place has answered promptly often enough. It then claims no more jobs separately. */
  get isReady(): boolean {
    return this.#toWait <= 0;
  }

  /** Whether the place is ready, and no exchange is running and no result is left to collect. */
  get isPrompt(): boolean {
    return this.isReady && !this.#pending && !this.#next && this.#settle.length + this.#jobs.length === 0;
  }

  /** Resolves when no exchange is running. */
  async idle(): Promise<void> {
    await this.#sending;
  }

  /** Records that the place was slow again, so that it needs one more prompt answer. */
  late(): void {
    this.#toWait = Math.max(1, this.#toWait);
  }

  /** Returns whether an isolated job of this place runs or waits to run. */
  isAlone(running: readonly string[]): boolean {
    return this.#alone && (this.#jobs.length > 0 || running.length > 0);
  }

  /** Returns claimed jobs of this place, up to the limits. From then on, the worker runs them. */
  collectJobs(limit: number, queues: readonly ClaimQueue[]): readonly ClaimedJob[] {
    const room = new Map(queues.map(({ queue, limit = Number.POSITIVE_INFINITY }) => [queue, limit]));
    const jobs: ClaimedJob[] = [];
    const left: ClaimedJob[] = [];
    for (const one of this.#jobs) {
      const { queue } = one.job;
      const ofQueue = room.get(queue) ?? Number.POSITIVE_INFINITY;
      const fits = jobs.length < limit && ofQueue > 0;
      (fits ? jobs : left).push(one);
      if (fits) room.set(queue, ofQueue - 1);
    }
    this.#jobs = left;
    this.#collected = this.#collected.concat(jobs.map(({ token }) => token));
    return jobs;
  }

  /** Takes back jobs from `collectJobs` that the worker did not start. */
  putBack(jobs: readonly ClaimedJob[]): void {
    this.#collected = [];
    this.#jobs = [...jobs, ...this.#jobs];
  }

  collect(): Arrived {
    return this.#news.collect([...(this.#pending?.settle ?? []), ...this.#settle]);
  }

  expire(leaseMs: number): void {
    this.isLost = this.#options.clock.monotonic() - this.#answeredAt > leaseMs;
    if (this.isLost) this.#jobs = [];
  }

  /** Accepts the part of the worker's exchange for this place. It is sent after the running exchange is answered. */
  take(request: ExchangeRequest): void {
    if (request.exchange <= this.#taken) return;
    this.#taken = request.exchange;
    this.#settle = this.#settle.concat(request.settle);
    for (const report of request.progress ?? []) this.#reports.set(report.token, this.#joined(report));
    this.#collected = [];
    const running = this.isLost ? [] : request.running;
    const { settle: _, progress: __, ...rest } = request;
    const holds = this.#settle.length + running.length + this.#jobs.length + this.#news.open;
    if (holds + request.claim.limit === 0 && !request.leave) return;
    this.#next = { ...rest, settle: [], running };
    this.#send();
  }

  /** Ends the worker's lease at the place. Resolves when all accepted exchanges are answered, or after a minute. */
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

  #send(afterMs = 0): void {
    this.#sending ??= this.#sendAll(afterMs).finally(() => {
      this.#sending = undefined;
    });
  }

  async #sendAll(afterMs: number): Promise<void> {
    const { clock, patienceMs, random, exchange, arrived } = this.#options;
    if (afterMs > 0) await this.#pause(afterMs);
    while (!this.#closed) {
      this.#pending ??= this.#compose();
      const request = this.#pending;
      if (!request) return;
      const began = clock.monotonic();
      try {
        const reply = await exchange(request, Math.min(ANSWER_MS, patienceMs * FIRST_ANSWER * 2 ** this.#fails));
        if (this.#closed) return;
        this.#pending = undefined;
        this.#answeredAt = began;
        if (clock.monotonic() - began <= patienceMs / 2) this.#toWait--;
        else this.late();
        this.#alone = reply.alone === true;
        this.#jobs = this.#jobs.concat(reply.jobs);
        const hasNews = this.#news.receive(reply, request.settle) || this.#fails > 0 || this.isPrompt;
        this.#fails = 0;
        if (hasNews || reply.jobs.length + this.#settle.length > 0) arrived();
      } catch (error) {
        if (this.#closed) return;
        this.late();
        const less = this.#lessThan(request, error);
        this.#pending = less;
        if (less && less !== request) continue;
        // The same request may succeed later.
        this.#report(error);
        await this.#pause(Math.max(askedMs(error, request), backoffDelay(RETRY, ++this.#fails, random())));
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
    // A worker that has left takes no more jobs.
    if (next.leave) this.#jobs = [];
    const waiting = this.#jobs.map(({ token }) => token);
    return {
      ...next,
      settle,
      running: [...next.running, ...this.#collected, ...waiting],
      claim: waiting.length + this.#collected.length > 0 || this.isReady ? { ...next.claim, limit: 0 } : next.claim,
      ...(progress.length > 0 && { progress }),
    };
  }

  /**
   * Returns the part of a request to send again after this error: all of it, unless the error is final (R30). In that
   * case the refused part is left out, as in an exchange with one object, and the rest is listed as running and settled
   * later.
   */
  #lessThan(request: ExchangeRequest, error: unknown): ExchangeRequest | undefined {
    const { progress: _, ...rest } = request;
    const { settle, running } = rest;
    // A later exchange was answered: it is unknown whether this one took effect.
    if (isQuaysideError(error, "stale_exchange")) {
      this.#news.lose(settle);
      return undefined;
    }
    const part = partOfRefused(request, error);
    if (!part) return request;
    const later = settle.slice(part.settle.length);
    this.#settle = [...later, ...this.#settle];
    const [first] = part.settle;
    if (first && part.failure) this.#news.replace(first, part.failure);
    return {
      ...rest,
      settle: part.settle,
      running: [...running, ...later.map(({ token }) => token)],
      ...(part.progress.length > 0 && { progress: part.progress }),
      claim: { limit: 0, queues: [] },
    };
  }

  /** Reports an error once per cause, until the place is asked together with the others again. */
  #report(error: unknown): void {
    const cause = causeOf(error);
    if (this.#said.has(cause)) return;
    this.#said.add(cause);
    this.#news.trouble(error);
  }

  /** Merges a report with the attempt's unsent one: replaces its progress, and appends to its log lines. */
  #joined(report: AttemptReport): AttemptReport {
    const log = [...(this.#reports.get(report.token)?.log ?? []), ...(report.log ?? [])].slice(-LIMITS.logLines);
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

/** Returns the pause that the place requested, in ms, or 0. Shortened so that the lease does not expire. */
function askedMs(error: unknown, { running, settle, leaseMs }: ExchangeRequest): number {
  const ms = isA(QuaysideError, error) ? Number(error.details["retryAfterMs"]) : 0;
  return ms > 0 ? Math.min(ms, running.length + settle.length > 0 ? leaseMs / 3 : LONGEST_ASKED_MS) : 0;
}
