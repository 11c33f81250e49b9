import { claimedQueues } from "../../engine/claimed-queues.ts";
import type { Clock } from "../../engine/clock.ts";
import { partOfRefused } from "../../engine/refused-part.ts";
import type { ClaimQueue, ExchangeReply, ExchangeRequest } from "../../engine/verbs.ts";
import { isA, isQuaysideError, QuaysideError } from "../../job/errors.ts";
import {
  holdsAfter,
  homeOfToken,
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
} from "../places/exchange-parts.ts";
import { PATIENCE_MS } from "../places/late-place.ts";
import { WorkerPlaces } from "../places/worker-places.ts";
import type { ChangeFeed } from "../remote/change-feed.ts";
import { withAllChildren } from "../remote/child-pages.ts";
import { within } from "../remote/time-limits.ts";
import { isChildren, isExchangeReply } from "./exchange-checks.ts";
import type { ApiCall } from "./http-caller.ts";
import { idempotencyKey } from "./idempotency-key.ts";
import { idPart, queryOf } from "./paths.ts";

/**
 * Longest time that an exchange with several queues waits for one of them, in ms: twice the time that a server waits
 * for a shard.
 */
const QUEUE_PATIENCE_MS = 2 * PATIENCE_MS;

/** The request of an exchange with one queue. `only`: the shard of the queue that it is for. */
type OneRequest = RecallingRequest & { readonly only?: string | undefined };

/** The state of a worker's exchanges with one queue. */
interface Standing {
  /** Whether the queue's object may still hold jobs of the worker, or has settlements without an answer. */
  holds: boolean;
  /** Whether an isolated job of the queue runs or waits to run. */
  alone: boolean;
  /** Number of the last exchange that was sent to the queue. If it was answered, `memo` is from its reply. */
  sent: number;
  memo: string | undefined;
  /** The value of `ChangeFeed.heard` for the queue at the last exchange, to see whether the queue has changed since. */
  heard: number | undefined;
}

/**
 * A worker's exchanges with queues that are in separate objects: one request per queue, in the worker's order; each is
 * asked for the jobs that are still missing.
 *
 * A queue that fails or is slow is asked separately from then on (R41), and so is a shard of a split queue. The
 * exchange as a whole fails only if all queues fail immediately, because then the server or the network is the cause.
 *
 * A repeated exchange asks the same objects in the same order, and each answers as before. With several objects, it
 * claims no new jobs, which might exceed the worker's limit.
 */
export class QueueExchange {
  /** By worker and queue, the state of the worker's exchanges with the queue. */
  readonly #asked = new Map<string, Map<string, Standing>>();
  readonly #clock: Clock;
  readonly #feed: ChangeFeed;
  readonly #call: ApiCall;
  readonly #queues: WorkerPlaces;
  /** Queues that are split into shards and whose server accepts exchanges with a single shard. */
  readonly #split = new Set<string>();
  /** By queue, the shards of it that are asked separately. */
  readonly #parts = new Map<string, WorkerPlaces>();

  constructor(clock: Clock, feed: ChangeFeed, call: ApiCall) {
    this.#clock = clock;
    this.#feed = feed;
    this.#call = call;
    this.#queues = new WorkerPlaces({
      clock,
      patienceMs: QUEUE_PATIENCE_MS,
      random: Math.random,
      home: (token) => placeOfToken(token) ?? "",
      main: (request) => this.#all(request),
      only: (queue, request, ms) => this.#only(queue, request, ms),
      wake: (queues) => {
        for (const queue of queues) this.#wake(queue);
      },
    });
  }

  close(): void {
    this.#queues.close();
    for (const places of this.#parts.values()) places.close();
  }

  async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    for (const queue of claimedQueues(request)) this.#feed.follow(queue);
    return this.#queues.exchange(request);
  }

  /** Runs an exchange with all queues, except those in `apart`, which are asked separately. */
  async #all({ apart = [], ...request }: RecallingRequest): Promise<RecallingReply> {
    const clock = this.#clock;
    const asked = this.#asked.get(request.worker) ?? new Map<string, Standing>();
    this.#asked.set(request.worker, asked);
    const isAlone = ({ place }: Part) => asked.get(place)?.alone === true;
    // A queue with an isolated job is asked first: until the job has run, no other job is claimed.
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
      // The queue may have a job that must start before others are claimed ahead.
      if (limit === 0 && claim?.limit) left = 0;
      // The queues before have used up the limit, so this one need not be asked.
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
        // The error is about the worker or this driver, or there is no other queue.
        if (ms === undefined || isQuaysideError(error, "stale_exchange", "closed")) throw error;
        hangs ||= clock.monotonic() - began >= ms;
        late.push(lateOf(request, part.place, error, isAlone(part)));
        if (isAlone(part)) left = 0;
      }
    }
    // A queue that does not answer says nothing about the server: other queues may have answered.
    if (late.length === parts.length && apart.length === 0 && late.length > 0 && !hangs)
      throw (late.find(({ error }) => partOfRefused(request, error)) ?? late[0])?.error;
    if (request.leave) this.#asked.delete(request.worker);
    // Without a queue to ask, all tokens are lost.
    const tokens = [...request.settle.map(({ token }) => token), ...request.running];
    const reply = merge(request, replies, parts.length + apart.length > 0 ? [] : tokens);
    if (late.length === 0) return reply;
    const { futile: _, ...rest } = reply;
    return { ...rest, late };
  }

  /** Runs an exchange with a queue that is asked separately. Rejects after `ms`. */
  #only(queue: string, request: ExchangeRequest, ms: number): Promise<ExchangeReply> {
    const asked = this.#asked.get(request.worker) ?? new Map<string, Standing>();
    const part = partFor(request, queue, placeOfToken);
    const claim = request.claim.queues.find((one) => one.queue === queue);
    const { limit } = shareOf(request.claim.limit, claim);
    const { busy } = request.claim;
    return this.#ask(request, part, asked, { limit, queues: [claim ?? { queue }], ...(busy && { busy }) }, ms);
  }

  /**
   * Sends an exchange to one queue.
   *
   * @param ms longest time; absent: the timeout of the HTTP caller.
   */
  async #ask(
    request: ExchangeRequest,
    part: Part,
    asked: Map<string, Standing>,
    claim: ExchangeRequest["claim"],
    ms: number | undefined,
  ): Promise<ExchangeReply> {
    const { place, send } = part;
    const { exchange } = request;
    const before = asked.get(place);
    const heard = this.#feed.heard(place);
    const standing: Standing = { holds: true, alone: before?.alone === true, sent: exchange, memo: undefined, heard };
    asked.set(place, standing);
    const sent = {
      ...send,
      claim,
      ...(before?.memo !== undefined && { memo: before.memo }),
      ...(before?.sent === exchange && { again: true }),
      ...(heard !== undefined && heard === before?.heard && { quiet: true }),
    };
    const { memo, ...reply } = await this.#partsOf(place).exchange(sent, ms);
    standing.memo = memo;
    standing.holds = holdsAfter(part, reply);
    standing.alone = reply.alone === true;
    return named(part, reply);
  }

  #partsOf(queue: string): WorkerPlaces {
    const clock = this.#clock;
    const known = this.#parts.get(queue);
    if (known) return known;
    const places = new WorkerPlaces({
      clock,
      patienceMs: PATIENCE_MS,
      random: Math.random,
      home: homeOfToken,
      main: async ({ apart = [], ...request }, ms) => {
        const reply = await this.#exchangeOne(queue, { ...request, ...(this.#split.has(queue) && { apart }) }, ms);
        if (reply.late) this.#split.add(queue);
        return reply;
      },
      only: (only, request, ms) => this.#exchangeOne(queue, { ...request, only }, ms),
      wake: () => this.#wake(queue),
    });
    this.#parts.set(queue, places);
    return places;
  }

  /** Makes this driver's workers of the queue run an exchange. */
  #wake(queue: string): void {
    for (const kind of ["cancel", "ready"] as const) this.#feed.tell({ queue, kind });
  }

  /** Sends one exchange to one queue. Rejects with `network` after `ms`, if it is given. */
  #exchangeOne(queue: string, request: OneRequest, ms: number | undefined): Promise<RecallingReply> {
    const asking = this.#send(queue, request);
    const what = `${request.only === undefined ? "Queue" : `Part ${request.only} of queue`} ${JSON.stringify(queue)}`;
    return ms === undefined ? asking : within(this.#clock, ms, what, asking);
  }

  async #send(
    queue: string,
    { claim: { queues, ...claim }, liveness: _, ...rest }: OneRequest,
  ): Promise<RecallingReply> {
    const { names, batch } = queues[0] ?? {};
    const body = { ...rest, claim: { ...claim, ...(names && { names }), ...(batch && { batch }) } };
    // The server recognises a repeat by its number (R9); the key is for proxies.
    const { worker, exchange, only } = rest;
    const key = idempotencyKey(worker, exchange, queue, ...(only === undefined ? [] : [only]));
    const headers = { "idempotency-key": key };
    const isReply = isExchangeReply(queue);
    const sent = this.#call<RecallingReply>("POST", queue, "exchange", isReply, JSON.stringify(body), headers);
    const answer: RecallingReply = await sent.catch((error: unknown) => replyOf(error, queue));
    const { settled: _settled, troubles: _troubles, ...reply } = answer;
    return withAllChildren(reply, (of, id, after) =>
      this.#call("GET", of, `jobs/${idPart(id)}/children${queryOf({ after })}`, isChildren),
    );
  }
}

/** Returns the reply contained in a `lease_lost` error. Throws any other error. */
function replyOf(error: unknown, queue: string): ExchangeReply {
  if (!isQuaysideError(error, "lease_lost")) throw error;
  const { status: _, ...reply } = error.details;
  if (!isExchangeReply(queue)(reply)) throw error;
  return reply as unknown as ExchangeReply;
}

function lateOf(request: ExchangeRequest, queue: string, error: unknown, alone: boolean): Late {
  const { code, message } = isA(QuaysideError, error) ? error : new QuaysideError("internal", String(error));
  return {
    place: queue,
    kind: "queue",
    code,
    message: `Queue ${JSON.stringify(queue)} ${partOfRefused(request, error) ? "refuses its part of the exchange" : "does not answer"} (${code}): ${message}`,
    error,
    ...(alone && { alone }),
  };
}

/** Returns how many of `left` jobs to claim from one queue. A queue with its own limit claims none ahead (R18). */
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
