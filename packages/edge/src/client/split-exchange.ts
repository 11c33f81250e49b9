import { type ClaimQueue, type Clock, QuaysideError } from "@quayside/core";
import type { ExchangeReply, ExchangeRequest } from "@quayside/core/engine";
import {
  holdsAfter,
  isBusyElsewhere,
  leftAfter,
  merge,
  named,
  type Part,
  partFor,
  placeOfToken,
  type RecallingReply,
  type RecallingRequest,
} from "../exchange-parts.ts";
import { PATIENCE_MS } from "../late-place.ts";
import { homeOfToken } from "../shards/token-home.ts";
import { WorkerPlaces } from "../worker-places.ts";

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
  /** Its object may hold something for the worker. */
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
 * A repeat of the exchange after a lost answer asks the same objects in the same order, and each answers as before. Where
 * there are several it claims nothing new: one that had nothing before might have something now, and together they would
 * give more than the worker has room for.
 */
export class SplitExchange {
  /** For each worker, the queues it has asked. */
  readonly #asked = new Map<string, Map<string, Standing>>();
  readonly #options: SplitExchangeOptions;
  /** Queues of which the server takes exchanges with one shard. */
  readonly #split = new Set<string>();
  /** By queue: its shards that are asked one by one. */
  readonly #shards = new Map<string, WorkerPlaces>();

  constructor(options: SplitExchangeOptions) {
    this.#options = options;
  }

  close(): void {
    for (const places of this.#shards.values()) places.close();
  }

  async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    const asked = this.#asked.get(request.worker) ?? new Map<string, Standing>();
    this.#asked.set(request.worker, asked);
    const names = request.claim.queues.map(({ queue }) => queue);
    if (new Set(names).size < names.length) {
      throw new QuaysideError("invalid_option", "A claim names each queue once.", { option: "claim.queues" });
    }
    const isAlone = ({ place }: Part) => Number(asked.get(place)?.alone === true);
    // Who must be alone is asked first: until it has run, nothing else is claimed.
    const parts = [...partsOf(request, asked)].sort((a, b) => isAlone(b) - isAlone(a));
    const again = parts.length > 1 && parts.some(({ place }) => asked.get(place)?.sent === request.exchange);
    const replies: ExchangeReply[] = [];
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
      const reply = await this.#ask(request, part, asked, {
        limit,
        ...(prefetch > 0 && { prefetch }),
        queues: [claim ?? { queue: part.place }],
        ...(isBusyElsewhere(request, part, replies) && { busy: true }),
      });
      left = leftAfter({ ...request.claim, limit: left }, reply);
      replies.push(reply);
    }
    if (request.leave) this.#asked.delete(request.worker);
    // Nobody was there to ask: what a worker says it holds in no queue is held in none.
    const tokens = [...request.settle.map(({ token }) => token), ...request.running];
    return merge(request, replies, replies.length > 0 ? [] : tokens);
  }

  async #ask(
    request: ExchangeRequest,
    part: Part,
    asked: Map<string, Standing>,
    claim: ExchangeRequest["claim"],
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
    const { memo, ...reply } = await this.#shardsOf(place).exchange({
      ...send,
      claim,
      ...(before?.memo !== undefined && { memo: before.memo }),
      ...(before?.sent === request.exchange && { again: true }),
      ...(heard !== undefined && heard === before?.heard && { quiet: true }),
    });
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
      patienceMs: PATIENCE_MS,
      random: Math.random,
      home: homeOfToken,
      main: async ({ apart = [], ...request }) => {
        const reply = await exchangeOne(queue, { ...request, ...(this.#split.has(queue) && { apart }) });
        if (reply.late) this.#split.add(queue);
        return reply;
      },
      only: (only, request) => exchangeOne(queue, { ...request, only }),
      wake: () => wake(queue),
    });
    this.#shards.set(queue, places);
    return places;
  }
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
