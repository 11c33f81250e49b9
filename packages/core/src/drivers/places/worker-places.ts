import type { Clock } from "../../engine/clock.ts";
import type { ClaimedJob, ExchangeReply, ExchangeRequest } from "../../engine/verbs.ts";
import { isA, QuaysideError } from "../../job/errors.ts";
import { within } from "../remote/time-limits.ts";
import { type Late, openTokens, queuesLeft, type RecallingReply, type RecallingRequest } from "./exchange-parts.ts";
import { LatePlace } from "./late-place.ts";
import type { Arrived } from "./place-news.ts";

/** Maximum number of workers whose state `WorkerPlaces` keeps. */
const WORKERS_MOST = 1_000;
/**
 * If a shard or queue is late again within this time, in ms, it must answer promptly more often before it is asked
 * together with the others.
 */
const FORGIVEN_MS = 60_000;
const PROMPT_ANSWERS_MOST = 64;

/** Options of `WorkerPlaces`. */
export interface WorkerPlacesOptions {
  readonly clock: Clock;
  /** Longest time that `main` waits for one shard or queue, in ms. */
  readonly patienceMs: number;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
  /**
   * Runs an exchange with all shards or queues, except those in `apart`. The reply names slow ones in `late`.
   *
   * @param ms longest time, if the caller has a limit: rejects with `network` after it.
   */
  readonly main: (request: RecallingRequest, ms: number | undefined) => Promise<RecallingReply>;
  /** Runs an exchange with one shard or queue. Rejects with `network` after `ms`. */
  readonly only: (place: string, request: ExchangeRequest, ms: number) => Promise<ExchangeReply>;
  /** Returns the shard or queue to which a token belongs. */
  readonly home: (token: string) => string;
  /** Called when the workers of these queues must make another exchange, because a slow shard or queue has answered. */
  readonly wake: (queues: readonly string[]) => void;
}

interface Known {
  readonly late: Map<string, LatePlace>;
  /**
   * For each shard or queue that was late: when it was last put together with the others again, and the number of
   * prompt answers that this took.
   */
  readonly forgiven: Map<string, { readonly at: number; readonly promptAnswers: number }>;
  /** Time of the last answered exchange, by the monotonic clock. */
  answeredAt: number | undefined;
  /** Results of places that are no longer late, which the worker has not collected yet. */
  news: Arrived[];
  /** Tokens of settlements that the last reply listed as unanswered. */
  open: readonly string[];
}

/**
 * A worker's exchanges over several shards or queues, independent of each other (R41): a shard or queue that fails or
 * is slow is asked separately, in parallel, until it is prompt again. Its results come with a later exchange.
 */
export class WorkerPlaces {
  readonly #options: WorkerPlacesOptions;
  readonly #workers = new Map<string, Known>();
  /** Shards or queues that have not yet answered the leave of a worker that has stopped. */
  readonly #leaving = new Set<LatePlace>();

  constructor(options: WorkerPlacesOptions) {
    this.#options = options;
  }

  /**
   * Runs one exchange with all shards or queues.
   *
   * @param ms see `WorkerPlacesOptions.main`.
   */
  async exchange(request: RecallingRequest, ms?: number): Promise<RecallingReply> {
    const known = this.#known(request.worker);
    await this.#forgivePrompt(known);
    const reply = known.late.size > 0 ? await this.#beside(known, request, ms) : await this.#main(known, request, ms);
    if (request.leave) await this.#leave(request.worker, known);
    const late = [...known.late.values()].map((place) => place.collect());
    const told = withNews(reply, [...known.news.splice(0), ...late]);
    known.open = openTokens(told.settled);
    return told;
  }

  close(): void {
    for (const worker of [...this.#workers.keys()]) this.#forget(worker);
    for (const place of this.#leaving) place.close();
    this.#leaving.clear();
  }

  /**
   * Asks late shards or queues that are prompt again together with the others from now on. Waits for their running
   * exchanges.
   */
  async #forgivePrompt(known: Known): Promise<void> {
    const { clock, patienceMs } = this.#options;
    for (const [name, place] of [...known.late]) {
      if (place.isReady) await within(clock, patienceMs, "It", place.idle()).catch(() => place.late());
      if (place.isPrompt) this.#forgive(known, name);
    }
  }

  /**
   * Ends the worker's leases at late shards or queues. Waits only shortly, but repeats the requests for a while:
   * otherwise the jobs there would wait until the lease expires.
   */
  async #leave(worker: string, known: Known): Promise<void> {
    this.#workers.delete(worker);
    await Promise.all(
      [...known.late.values()].map((place) => {
        this.#leaving.add(place);
        const left = place.leave().finally(() => this.#leaving.delete(place));
        return within(this.#options.clock, this.#options.patienceMs, "It", left).catch(() => {});
      }),
    );
  }

  #known(worker: string): Known {
    const known = this.#workers.get(worker) ?? {
      late: new Map(),
      forgiven: new Map(),
      answeredAt: undefined,
      news: [],
      open: [],
    };
    this.#workers.delete(worker);
    this.#workers.set(worker, known);
    const [oldest] = this.#workers.keys();
    if (this.#workers.size > WORKERS_MOST && oldest !== undefined) this.#forget(oldest);
    return known;
  }

  #forget(worker: string): void {
    for (const place of this.#workers.get(worker)?.late.values() ?? []) place.close();
    this.#workers.delete(worker);
  }

  /**
   * Runs an exchange with all shards or queues, except those in `apart`. Sets apart those that turn out to be slow:
   * each gets its part of the exchange again, separately.
   */
  async #main(known: Known, request: RecallingRequest, ms: number | undefined): Promise<RecallingReply> {
    const { late = [], ...reply } = await this.#options.main({ ...request, apart: request.apart ?? [] }, ms);
    const troubles = late
      .filter(({ place }) => !known.late.has(place))
      .map((one) => this.#setApart(known, request, one));
    known.answeredAt = this.#options.clock.monotonic();
    return troubles.length > 0 ? { ...reply, troubles: [...(reply.troubles ?? []), ...troubles] } : reply;
  }

  /** Asks a late place separately from now on. Returns its error. */
  #setApart(
    known: Known,
    request: RecallingRequest,
    { place, kind, code, message, alone, error }: Late,
  ): QuaysideError {
    const { clock, only, patienceMs, random, wake, home } = this.#options;
    const queues = request.claim.queues.map(({ queue }) => queue);
    const details = isA(QuaysideError, error) ? error.details : {};
    const trouble = new QuaysideError(code, message, { ...details, [kind]: place }, error);
    const options = {
      place,
      clock,
      patienceMs,
      random,
      exchange: (request: ExchangeRequest, ms: number) => only(place, request, ms),
      arrived: () => wake(queues),
      answeredAt: known.answeredAt ?? clock.monotonic(),
      promptAnswers: this.#promptAnswers(known, place),
      isAlone: alone === true,
      open: known.open.filter((token) => home(token) === place),
    };
    const first = { ...this.#partOf(request, place), claim: { limit: 0, queues: [] } };
    known.late.set(place, new LatePlace(options, first, trouble));
    return trouble;
  }

  /** Runs an exchange while some shards or queues are late: the late ones get their part separately. */
  async #beside(known: Known, request: RecallingRequest, ms: number | undefined): Promise<RecallingReply> {
    const { home } = this.#options;
    const places = [...known.late];
    for (const [, place] of places) place.expire(request.leaseMs);
    const isApart = (token: string) => known.late.has(home(token));
    const runningAt = (name: string) => request.running.filter((token) => home(token) === name);
    const { limit, queues, prefetch = 0 } = request.claim;
    const alone = places.find(([name, place]) => place.isAlone(runningAt(name)));
    const brought = this.#bring(known, request, alone?.[1]);
    const count = brought.reduce((sum, { jobs }) => sum + jobs.length, 0);
    const left = alone ? 0 : limit - count;
    const rest: RecallingRequest = {
      ...request,
      settle: request.settle.filter(({ token }) => !isApart(token)),
      running: request.running.filter((token) => !isApart(token)),
      ...(request.progress && { progress: request.progress.filter(({ token }) => !isApart(token)) }),
      claim: {
        limit: left,
        ...(prefetch > 0 && { prefetch: Math.min(prefetch, left) }),
        queues: left === 0 && limit > 0 ? [] : queuesLeft(queues, brought),
        ...((request.claim.busy || count > 0 || request.running.some(isApart)) && { busy: true }),
      },
      apart: places.map(([name]) => name),
    };
    let reply: RecallingReply;
    try {
      reply = await this.#main(known, rest, ms);
    } catch (error) {
      for (const { place, jobs } of brought) place.putBack(jobs);
      throw error;
    }
    const free = Math.max(0, left - reply.jobs.length);
    const lost: string[] = [];
    for (const [name, place] of places) {
      const part = this.#partOf(request, name);
      const mine = brought.filter((one) => one.place === place).flatMap(({ jobs }) => jobs.map(({ token }) => token));
      const running = [...part.running, ...mine];
      const busy = request.running.length > part.running.length || count + reply.jobs.length > 0;
      const claim = { limit: free, queues: queuesLeft(queues, [...brought, reply]), ...(busy && { busy }) };
      place.take({ ...part, running, claim });
      if (place.isLost) for (const token of part.running) lost.push(token);
    }
    return {
      ...reply,
      jobs: [...brought.flatMap(({ jobs }) => jobs), ...reply.jobs],
      lost: [...reply.lost, ...lost],
    };
  }

  /**
   * Returns jobs claimed from late shards or queues, within the limit. An isolated job is returned only if no other job
   * runs.
   */
  #bring(known: Known, { claim, running }: ExchangeRequest, alone: LatePlace | undefined): readonly Brought[] {
    const brought: Brought[] = [];
    let left = claim.limit - (claim.prefetch ?? 0);
    for (const place of alone ? [alone] : known.late.values()) {
      if (left <= 0 || (alone && running.length > 0)) break;
      const jobs = place.collectJobs(left, queuesLeft(claim.queues, brought));
      left -= jobs.length;
      if (jobs.length > 0) brought.push({ place, jobs });
    }
    return brought;
  }

  #partOf(request: RecallingRequest, place: string): ExchangeRequest {
    const { memo: _, again: __, quiet: ___, apart: ____, ...rest } = request;
    const isOf = (token: string) => this.#options.home(token) === place;
    return {
      ...rest,
      settle: request.settle.filter(({ token }) => isOf(token)),
      running: request.running.filter(isOf),
      ...(request.progress && { progress: request.progress.filter(({ token }) => isOf(token)) }),
    };
  }

  #promptAnswers({ forgiven }: Known, place: string): number {
    const before = forgiven.get(place);
    if (!before || this.#options.clock.monotonic() - before.at > FORGIVEN_MS) return 1;
    return Math.min(PROMPT_ANSWERS_MOST, before.promptAnswers * 2);
  }

  #forgive(known: Known, name: string): void {
    const place = known.late.get(name);
    if (place) known.news.push(place.collect());
    place?.close();
    known.late.delete(name);
    known.forgiven.set(name, { at: this.#options.clock.monotonic(), promptAnswers: place?.promptAnswers ?? 1 });
  }
}

interface Brought {
  readonly place: LatePlace;
  readonly jobs: readonly ClaimedJob[];
}

/** Returns the reply with the results of late shards or queues added. */
function withNews(reply: RecallingReply, news: readonly Arrived[]): RecallingReply {
  if (news.length === 0) return reply;
  const troubles = [...(reply.troubles ?? []), ...news.flatMap(({ troubles }) => troubles)];
  const settled = new Map([...(reply.settled ?? []), ...news.flatMap(({ settled }) => [...settled])]);
  return {
    ...reply,
    lost: [...reply.lost, ...news.flatMap(({ lost }) => lost)],
    cancel: [...reply.cancel, ...news.flatMap(({ cancel }) => cancel)],
    interrupted: [...reply.interrupted, ...news.flatMap(({ interrupted }) => interrupted)],
    unknown: [...reply.unknown, ...news.flatMap(({ unknown }) => unknown)],
    ...(troubles.length > 0 && { troubles }),
    ...(settled.size > 0 && { settled }),
  };
}
