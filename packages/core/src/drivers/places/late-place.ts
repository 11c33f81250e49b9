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
import { hasCode, isA, QuaysideError } from "../../job/errors.ts";
import { type Arrived, PlaceNews } from "./place-news.ts";

/** How long an exchange waits for one place among several. What answers later is asked apart from the others. */
export const PATIENCE_MS = 1_000;
/** How long a place that is asked apart may take for its answer, at most; a call that it has dropped is not missed so long. */
const ANSWER_MS = 30_000;
/** At first: so many times the patience. Doubled with each send that fails. */
const FIRST_ANSWER = 4;
/** How long a place is sent the leave of a worker that has left: once more after a request that it does not answer. */
const LEAVE_MS = 2 * ANSWER_MS;
/** Between two sends of one exchange: doubled each time. */
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
/** Longest pause that a place may ask for. */
const LONGEST_ASKED_MS = 300_000;
/** Log lines of one attempt that wait for a place to answer. */
const LOG_LINES_MOST = 100;

export interface LatePlaceOptions {
  readonly place: string;
  readonly clock: Clock;
  /** How long an exchange with it and others waits for it. Within half of that, it answers at once. */
  readonly patienceMs: number;
  /** In [0, 1). */
  readonly random: () => number;
  /** An exchange with it, that may take so long: it then rejects with `network`. */
  readonly exchange: (request: ExchangeRequest, ms: number) => Promise<ExchangeReply>;
  /** Called when there is something to collect. */
  readonly arrived: () => void;
  /** By the monotonic clock: when the place last answered the worker, as far as is known. */
  readonly answeredAt: number;
  /** After so many answers at once it is asked together with the others again. */
  readonly promptAnswers: number;
  /** A job of it runs alone, or waits to. */
  readonly isAlone: boolean;
  /** Tokens of settlements that it took in, and that a part of it has not answered yet. */
  readonly open: readonly string[];
}

/**
 * A worker's exchanges with one place that answers late, not at all, or with a refusal. They go on beside the
 * worker's exchanges with other places, one at a time, each sent again unchanged until it is answered (R9). Meanwhile the
 * worker's settlements for the place are kept for the next one.
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
  readonly #news: PlaceNews;
  /** Sends that failed in a row. */
  #fails = 0;
  /** Answers at once until it is asked with the others again. */
  #toWait: number;

  /**
   * @param first the exchange that the place did not answer: it is sent again at once, as a slow place has done it by now,
   * unless `trouble` asks for a pause.
   */
  constructor(options: LatePlaceOptions, first: ExchangeRequest, trouble: unknown) {
    this.#options = options;
    this.#answeredAt = options.answeredAt;
    this.#taken = first.exchange;
    this.#toWait = options.promptAnswers;
    this.#pending = first;
    this.#alone = options.isAlone;
    this.#news = new PlaceNews(options.open);
    this.#said.add(causeOf(trouble));
    this.#send(askedMs(trouble, first));
  }

  get promptAnswers(): number {
    return this.#options.promptAnswers;
  }

  /** It answers at once: it claims nothing more here, so that it is asked with the others again. */
  get isReady(): boolean {
    return this.#toWait <= 0;
  }

  /** It answers at once, and nothing is left to send or to collect. */
  get isPrompt(): boolean {
    return this.isReady && !this.#pending && !this.#next && this.#settle.length + this.#jobs.length === 0;
  }

  /** Resolves when nothing is on its way. */
  async idle(): Promise<void> {
    await this.#sending;
  }

  /** It has not answered at once after all. */
  late(): void {
    this.#toWait = Math.max(1, this.#toWait);
  }

  /** A job of this place runs alone, or waits to. */
  isAlone(running: readonly string[]): boolean {
    return this.#alone && (this.#jobs.length > 0 || running.length > 0);
  }

  /** Takes jobs that wait here for the worker, as many as it has room for: they are its own from now on. */
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

  /** They were not taken over after all. */
  putBack(jobs: readonly ClaimedJob[]): void {
    this.#collected = [];
    this.#jobs = [...jobs, ...this.#jobs];
  }

  collect(): Arrived {
    return this.#news.collect([...(this.#pending?.settle ?? []), ...this.#settle]);
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
      this.#settle.length + running.length + this.#jobs.length + this.#news.open > 0 ||
      request.claim.limit > 0 ||
      request.leave === true;
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
        const reply = await exchange(request, this.#answerMs);
        if (this.#closed) return;
        this.#pending = undefined;
        this.#answeredAt = began;
        if (clock.monotonic() - began <= patienceMs / 2) this.#toWait--;
        else this.late();
        const news = this.#receive(reply, request) || this.#fails > 0 || this.isPrompt || this.#settle.length > 0;
        this.#fails = 0;
        if (news) arrived();
      } catch (error) {
        if (this.#closed) return;
        this.late();
        const less = this.#lessThan(request, error);
        this.#pending = less;
        if (less && less !== request) continue;
        // Nothing is left out that would help: it may be taken later.
        this.#report(error);
        await this.#pause(Math.max(askedMs(error, request), retryMs(++this.#fails, random())));
      }
    }
  }

  get #answerMs(): number {
    return Math.min(ANSWER_MS, this.#options.patienceMs * FIRST_ANSWER * 2 ** Math.min(this.#fails, 10));
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
      claim: waiting.length + this.#collected.length > 0 || this.isReady ? { ...next.claim, limit: 0 } : next.claim,
      ...(progress.length > 0 && { progress }),
    };
  }

  /** Returns whether the worker has to look. */
  #receive(reply: ExchangeReply, request: ExchangeRequest): boolean {
    this.#alone = reply.alone === true;
    this.#jobs = this.#jobs.concat(reply.jobs);
    return this.#news.receive(reply, request.settle) || reply.jobs.length > 0;
  }

  /**
   * Returns the part of the request that is sent again after this error: all of it, unless it was refused and would be again (R30). Then it
   * goes in part, as an exchange with one object does. The rest is named as running, and settled later.
   */
  #lessThan(request: ExchangeRequest, error: unknown): ExchangeRequest | undefined {
    const { progress: _, ...rest } = request;
    const { settle, running } = rest;
    // A later one was answered: whether this one was is not known, or its worker is another's by now.
    if (hasCode(error, "stale_exchange")) {
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

  /** Once for each cause, until the place is asked with the others again. */
  #report(error: unknown): void {
    const cause = causeOf(error);
    if (this.#said.has(cause)) return;
    this.#said.add(cause);
    this.#news.trouble(error);
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

/** The pause that the place asked for, in ms; else 0. One that would let the lease expire is cut. */
function askedMs(error: unknown, { running, settle, leaseMs }: ExchangeRequest): number {
  const ms = isA(QuaysideError, error) ? error.details["retryAfterMs"] : undefined;
  if (typeof ms !== "number" || !(ms > 0)) return 0;
  return Math.min(ms, running.length + settle.length > 0 ? leaseMs / 3 : LONGEST_ASKED_MS);
}

const retryMs = (fails: number, random: number): number =>
  Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(fails - 1, 10)) * (0.5 + random / 2);
