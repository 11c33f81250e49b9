import type { Clock } from "@quayside/core";
import { QuaysideError } from "@quayside/core";
import type { ClaimedJob, ExchangeReply, ExchangeRequest } from "@quayside/core/engine";
import { queuesLeft, type RecallingReply, type RecallingRequest } from "./exchange-parts.ts";
import { type Arrived, LatePlace } from "./late-place.ts";
import { within } from "./patience.ts";

/** Workers remembered by one driver. */
const WORKERS_MOST = 1_000;
/** A place that is late again within this has to answer at once more often before it is asked with the others. */
const FORGIVEN_MS = 60_000;
const PROMPT_ANSWERS_MOST = 64;

export interface WorkerPlacesOptions {
  readonly clock: Clock;
  /** How long `main` waits for one place. */
  readonly patienceMs: number;
  /** In [0, 1). */
  readonly random: () => number;
  /** An exchange with all places but those in `apart`. The reply names those that did not answer in time: `late`. */
  readonly main: (request: RecallingRequest) => Promise<RecallingReply>;
  /** An exchange with one place alone. */
  readonly only: (place: string, request: ExchangeRequest) => Promise<ExchangeReply>;
  /** The place that a token names. */
  readonly home: (token: string) => string;
  /** Called when a worker of these queues has to look: a late place has answered. */
  readonly wake: (queues: readonly string[]) => void;
}

interface Known {
  readonly late: Map<string, LatePlace>;
  /** When each place was asked together with the others again, and after how many prompt answers. */
  readonly forgiven: Map<string, { readonly at: number; readonly promptAnswers: number }>;
  /** By the monotonic clock: the last exchange that was answered. */
  answeredAt: number | undefined;
  /** Of places that are asked with the others again, and not told yet. */
  news: Arrived[];
}

/**
 * The exchanges of workers over several places, each on its own (R41): a place that fails or is late is asked apart from the
 * others, beside them, until it answers at once again. What it gives meanwhile comes with a later exchange.
 */
export class WorkerPlaces {
  readonly #options: WorkerPlacesOptions;
  readonly #workers = new Map<string, Known>();
  /** Places that workers which have left have not taken leave of yet. */
  readonly #leaving = new Set<LatePlace>();

  constructor(options: WorkerPlacesOptions) {
    this.#options = options;
  }

  async exchange(request: RecallingRequest): Promise<RecallingReply> {
    const known = this.#known(request.worker);
    for (const [name, place] of known.late) if (place.isPrompt) this.#forgive(known, name);
    const reply = known.late.size > 0 ? await this.#beside(known, request) : await this.#main(known, request);
    if (request.leave) await this.#leave(request.worker, known);
    return withNews(reply, [...known.news.splice(0), ...[...known.late.values()].map((place) => place.collect())]);
  }

  close(): void {
    for (const worker of [...this.#workers.keys()]) this.#forget(worker);
    for (const place of this.#leaving) place.close();
    this.#leaving.clear();
  }

  /**
   * The worker does not wait long for a late place to take its leave. That is sent all the same, for a while: what the
   * place has leased to this worker would else wait until its lease is over.
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

  /** With all places but those in `apart`; those that are late from now on get their part again, apart. */
  async #main(known: Known, request: RecallingRequest): Promise<RecallingReply> {
    const { clock, main, only, patienceMs, random, wake } = this.#options;
    const { late = [], ...reply } = await main({ ...request, apart: request.apart ?? [] });
    const queues = request.claim.queues.map(({ queue }) => queue);
    const troubles: QuaysideError[] = [];
    for (const { place, code, message, alone } of late) {
      if (known.late.has(place)) continue;
      const trouble = new QuaysideError(code, message, { shard: place });
      troubles.push(trouble);
      const options = {
        place,
        clock,
        patienceMs,
        random,
        exchange: (request: ExchangeRequest) => only(place, request),
        arrived: () => wake(queues),
        answeredAt: known.answeredAt ?? clock.monotonic(),
        promptAnswers: this.#promptAnswers(known, place),
      };
      const first = { ...this.#partOf(request, place), claim: { limit: 0, queues: [] } };
      known.late.set(place, new LatePlace(options, first, trouble, alone === true));
    }
    known.answeredAt = clock.monotonic();
    return troubles.length > 0 ? { ...reply, troubles } : reply;
  }

  /** An exchange while there are late places. */
  async #beside(known: Known, request: RecallingRequest): Promise<RecallingReply> {
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
      reply = await this.#main(known, rest);
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
      const claim = { limit: free, queues, ...(busy && { busy }) };
      place.take({ ...part, running, claim });
      if (place.isLost) for (const token of part.running) lost.push(token);
    }
    return {
      ...reply,
      jobs: [...brought.flatMap(({ jobs }) => jobs), ...reply.jobs],
      lost: [...reply.lost, ...lost],
    };
  }

  /** Jobs that late places have given, as many as there is room for; one that runs alone only beside nothing else. */
  #bring(known: Known, { claim, running }: ExchangeRequest, alone: LatePlace | undefined) {
    const brought: { readonly place: LatePlace; readonly jobs: readonly ClaimedJob[] }[] = [];
    let left = claim.limit - (claim.prefetch ?? 0);
    for (const place of alone ? [alone] : known.late.values()) {
      if (left <= 0 || (alone && running.length > 0)) break;
      const jobs = place.collectJobs(left);
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

/** The reply with what late places have answered. Only they have settlements that are open, or were replaced. */
function withNews({ settled: _, ...reply }: RecallingReply, news: readonly Arrived[]): RecallingReply {
  if (news.length === 0) return reply;
  const troubles = [...(reply.troubles ?? []), ...news.flatMap(({ troubles }) => troubles)];
  const settled = new Map(news.flatMap(({ settled }) => [...settled]));
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
