import { type ClaimQueue, type Clock, hasCode, isA, QuaysideError } from "@quayside/core";
import { type ExchangeReply, type ExchangeRequest, partOfRefused } from "@quayside/core/engine";
import {
  holdsAfter,
  isBusyElsewhere,
  type Late,
  leftAfter,
  merge,
  named,
  type Part,
  partFor,
  placeOfToken,
  type RecallingReply,
  type RecallingRequest,
} from "../shards/exchange-parts.ts";
import { PATIENCE_MS } from "../shards/late-place.ts";
import { homeOfToken } from "../shards/shard-of-token.ts";
import { within } from "../shards/time-limits.ts";
import { WorkerPlaces } from "../shards/worker-places.ts";

/** How long an exchange with several queues waits for one. The server of a split queue waits half as long for a shard. */
const QUEUE_PATIENCE_MS = 2 * PATIENCE_MS;

export interface SplitExchangeOptions {
  readonly clock: Clock;
  /** See `ChangeFeed.heard`. */
  readonly heard: (queue: string) => number | undefined;
  /** A worker of this queue has to look. */
  readonly wake: (queue: string) => void;
  /** One round with one queue. `only`: with one of its shards. */
  readonly exchangeOne: (
    queue: string,
    request: RecallingRequest & { readonly only?: string },
  ) => Promise<RecallingReply>;
}

/** What a worker has to do with a queue. */
interface Standing {
  /** Its object may hold something for the worker, or has settlements that a part of it has not answered. */
  holds: boolean;
  /** A job of it runs alone, or waits to. */
  alone: boolean;
  /** The exchange that was sent last; with `answered`, its memo. */
  sent: number;
  memo: string | undefined;
  /** What had been heard of the queue when it was sent: see `ChangeFeed.heard`. */
  heard: number | undefined;
}

/**
 * A worker's exchange over queues that lie in objects of their own: one exchange with each, in the order in which the
 * worker looks, the limit shared out as it goes.
 *
 * A queue that fails, or answers late, is asked apart from the others (R41), as is a shard of a split queue. The exchange
 * fails as a whole only when each of the worker's queues fails at once: then it is the server, or the network.
 *
 * A repeat of the exchange after a lost answer asks the same objects in the same order, and each answers as before. Where
 * there are several it claims nothing new: one that had nothing before might have something now, and together they would
 * give more than the worker has room for.
 */
export class SplitExchange {
  /** For each worker, the queues it has asked. */
  readonly #asked = new Map<string, Map<string, Standing>>();
  readonly #options: SplitExchangeOptions;
  readonly #queues: WorkerPlaces;
  /** Queues of which the server takes exchanges with one shard. */
  readonly #split = new Set<string>();
  /** By queue: its shards that are asked one by one. */
  readonly #shards = new Map<string, WorkerPlaces>();

  constructor(options: SplitExchangeOptions) {
    this.#options = options;
    const { clock, wake } = options;
    this.#queues = new WorkerPlaces({
      clock,
      kind: "queue",
      patienceMs: QUEUE_PATIENCE_MS,
      random: Math.random,
      home: (token) => placeOfToken(token) ?? "",
      main: (request) => this.#all(request),
      only: (queue, request, ms) => this.#only(queue, request, ms),
      wake: (queues) => queues.forEach(wake),
    });
  }

  close(): void {
    this.#queues.close();
    for (const places of this.#shards.values()) places.close();
  }

  async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    const names = request.claim.queues.map(({ queue }) => queue);
    if (new Set(names).size < names.length) {
      throw new QuaysideError("invalid_option", "A claim names each queue once.", { option: "claim.queues" });
    }
    return this.#queues.exchange(request);
  }

  /** An exchange with all queues but those in `apart`. */
  async #all({ apart = [], ...request }: RecallingRequest): Promise<RecallingReply> {
    const { clock } = this.#options;
    const asked = this.#asked.get(request.worker) ?? new Map<string, Standing>();
    this.#asked.set(request.worker, asked);
    const isAlone = ({ place }: Part) => asked.get(place)?.alone === true;
    // Who must be alone is asked first: until it has run, nothing else is claimed.
    const parts = [...partsOf(request, asked)]
      .filter(({ place }) => !apart.includes(place))
      .sort((a, b) => Number(isAlone(b)) - Number(isAlone(a)));
    const ms = parts.length + apart.length > 1 ? QUEUE_PATIENCE_MS : undefined;
    const again = parts.length > 1 && parts.some(({ place }) => asked.get(place)?.sent === request.exchange);
    const replies: ExchangeReply[] = [];
    const late: Late[] = [];
    let hangs = false;
    let left = again ? 0 : request.claim.limit;
    for (const part of parts) {
      const claim = request.claim.queues.find(({ queue }) => queue === part.place);
      const { limit, prefetch } = shareOf(left, claim, request.claim.prefetch);
      const standing = asked.get(part.place);
      const needed = part.needed || standing?.holds || (request.leave && standing);
      // It may have a job that is to start before anything is taken for later.
      if (limit === 0 && claim?.limit) left = 0;
      // Full by what the queues before gave: there is no reason to ask this one.
      if (limit === 0 && !needed && !(again && standing?.sent === request.exchange) && request.claim.limit > 0)
        continue;
      const began = clock.monotonic();
      const ask = {
        limit,
        ...(prefetch > 0 && { prefetch }),
        queues: [claim ?? { queue: part.place }],
        ...(isBusyElsewhere(request, part, replies) && { busy: true }),
      };
      try {
        const reply = await this.#ask(request, part, asked, ask, ms);
        left = leftAfter({ ...request.claim, limit: left }, reply);
        replies.push(reply);
      } catch (error) {
        // Not about this queue, but about the worker, or this driver; or there is no other queue.
        if (ms === undefined || hasCode(error, "stale_exchange", "closed")) throw error;
        hangs ||= clock.monotonic() - began >= ms;
        late.push(lateOf(request, part.place, error, isAlone(part)));
        if (isAlone(part)) left = 0;
      }
    }
    // A queue that hangs says nothing about the server: the others may be at work already.
    if (late.length === parts.length && apart.length === 0 && late.length > 0 && !hangs)
      throw (late.find(({ error }) => partOfRefused(request, error)) ?? late[0])?.error;
    if (request.leave) this.#asked.delete(request.worker);
    // Nobody was there to ask: what a worker says it holds in no queue is held in none.
    const tokens = [...request.settle.map(({ token }) => token), ...request.running];
    const reply = merge(request, replies, parts.length + apart.length > 0 ? [] : tokens);
    if (late.length === 0) return reply;
    const { futile: _, ...rest } = reply;
    return { ...rest, late };
  }

  /** An exchange with a queue that the worker asks apart from the others. */
  #only(queue: string, request: ExchangeRequest, ms: number): Promise<ExchangeReply> {
    const asked = this.#asked.get(request.worker) ?? new Map<string, Standing>();
    const part = partFor(request, queue, placeOfToken);
    const claim = request.claim.queues.find((one) => one.queue === queue);
    const { limit } = shareOf(request.claim.limit, claim);
    const { busy } = request.claim;
    return this.#ask(request, part, asked, { limit, queues: [claim ?? { queue }], ...(busy && { busy }) }, ms);
  }

  /** @param ms how long it may take, where that is not left to the caller of HTTP. */
  async #ask(
    request: ExchangeRequest,
    part: Part,
    asked: Map<string, Standing>,
    claim: ExchangeRequest["claim"],
    ms: number | undefined,
  ): Promise<ExchangeReply> {
    const { place, send } = part;
    const before = asked.get(place);
    const heard = this.#options.heard(place);
    const standing: Standing = {
      holds: true,
      alone: before?.alone === true,
      sent: request.exchange,
      memo: undefined,
      heard,
    };
    asked.set(place, standing);
    const sent = {
      ...send,
      claim,
      ...(before?.memo !== undefined && { memo: before.memo }),
      ...(before?.sent === request.exchange && { again: true }),
      ...(heard !== undefined && heard === before?.heard && { quiet: true }),
    };
    const { memo, ...reply } = await this.#shardsOf(place).exchange(sent, ms);
    standing.memo = memo;
    standing.holds = holdsAfter(part, reply);
    standing.alone = reply.alone === true;
    return named(part, reply);
  }

  #shardsOf(queue: string): WorkerPlaces {
    const { clock, exchangeOne, wake } = this.#options;
    const known = this.#shards.get(queue);
    if (known) return known;
    const places = new WorkerPlaces({
      clock,
      kind: "shard",
      patienceMs: PATIENCE_MS,
      random: Math.random,
      home: homeOfToken,
      main: async ({ apart = [], ...request }, ms) => {
        const asking = exchangeOne(queue, { ...request, ...(this.#split.has(queue) && { apart }) });
        const reply = await (ms === undefined ? asking : within(clock, ms, `Queue ${JSON.stringify(queue)}`, asking));
        if (reply.late) this.#split.add(queue);
        return reply;
      },
      only: (only, request, ms) => within(clock, ms, `Shard ${only}`, exchangeOne(queue, { ...request, only })),
      wake: () => wake(queue),
    });
    this.#shards.set(queue, places);
    return places;
  }
}

function lateOf(request: ExchangeRequest, queue: string, error: unknown, alone: boolean): Late {
  const { code, message } = isA(QuaysideError, error) ? error : new QuaysideError("internal", String(error));
  return {
    place: queue,
    code,
    message: `Queue ${JSON.stringify(queue)} ${partOfRefused(request, error) ? "refuses its part of the exchange" : "does not answer"} (${code}): ${message}`,
    error,
    ...(alone && { alone }),
  };
}

/** What one queue may give of what is left. One with a limit of its own gives nothing for later (R18). */
function shareOf(left: number, claim: ClaimQueue | undefined, prefetch = 0): { limit: number; prefetch: number } {
  if (!claim) return { limit: 0, prefetch: 0 };
  if (claim.limit === undefined) return { limit: left, prefetch: Math.min(left, prefetch) };
  return { limit: Math.min(Math.max(0, left - prefetch), claim.limit), prefetch: 0 };
}

function* partsOf(request: ExchangeRequest, asked: ReadonlyMap<string, Standing>): Generator<Part> {
  const queues = request.claim.queues.map(({ queue }) => queue);
  const tokens = [...request.settle.map(({ token }) => token), ...request.running];
  const first = queues[0] ?? [...asked.keys()][0];
  const home = (token: string) => placeOfToken(token) ?? first;
  for (const queue of new Set([...queues, ...asked.keys(), ...tokens.flatMap((token) => home(token) ?? [])]))
    yield partFor(request, queue, home);
}
