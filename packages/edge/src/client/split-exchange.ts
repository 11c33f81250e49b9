import { type ClaimedJob, type ExchangeReply, type ExchangeRequest, QuaysideError } from "@quayside/core";

/** One round with one queue's object. */
export type ExchangeOne = (queue: string, request: ExchangeRequest) => Promise<ExchangeReply>;

/**
 * A worker's exchange over queues that lie in objects of their own: one exchange with each, in the order in which the
 * worker looks, the limit shared out as it goes. Each object mints its own tokens, so that a token is given the name
 * of its queue on the way in and loses it on the way out.
 *
 * A repeat of the exchange after a lost answer asks the same objects in the same order, and each answers as before.
 */
export class SplitExchange {
  /** For each worker, the queues it has asked; true: that object may hold something for it. */
  readonly #asked = new Map<string, Map<string, boolean>>();

  async exchange(request: ExchangeRequest, exchangeOne: ExchangeOne): Promise<ExchangeReply> {
    const asked = this.#asked.get(request.worker) ?? new Map<string, boolean>();
    this.#asked.set(request.worker, asked);
    const names = request.claim.queues.map(({ queue }) => queue);
    if (new Set(names).size < names.length) {
      throw new QuaysideError("invalid_option", "A claim names each queue once.", { option: "claim.queues" });
    }
    const replies: ExchangeReply[] = [];
    let left = request.claim.limit;
    for (const part of this.#parts(request, asked)) {
      const { queue, send } = part;
      const limit = Math.min(left, part.limit);
      // Full by what the queues before gave: there is no reason to ask this one.
      if (limit === 0 && !part.needed && request.claim.limit > 0) continue;
      asked.set(queue, true);
      const reply = named(queue, await exchangeOne(queue, { ...send, claim: { ...send.claim, limit } }), part.sent);
      const lost = new Set(reply.lost);
      asked.set(queue, reply.jobs.length > 0 || part.running.some((token) => !lost.has(token)));
      left -= reply.jobs.length;
      replies.push(reply);
    }
    if (request.leave) this.#asked.delete(request.worker);
    return merge(request, replies);
  }

  *#parts(request: ExchangeRequest, asked: ReadonlyMap<string, boolean>): Generator<Part> {
    const claims = new Map(request.claim.queues.map((claim) => [claim.queue, claim]));
    const tokens = [...request.settle.map(({ token }) => token), ...request.running];
    const first = request.claim.queues[0]?.queue ?? [...asked.keys()][0];
    const home = (token: string) => queueOfToken(token) ?? first;
    const queues = new Set([...claims.keys(), ...asked.keys(), ...tokens.flatMap((token) => home(token) ?? [])]);
    for (const queue of queues) {
      const claim = claims.get(queue);
      const settle = request.settle.filter(({ token }) => home(token) === queue);
      const running = request.running.filter((token) => home(token) === queue);
      const progress = request.progress?.filter(({ token }) => home(token) === queue);
      yield {
        queue,
        running,
        limit: claim ? (claim.limit ?? Number.POSITIVE_INFINITY) : 0,
        needed:
          settle.length > 0 || running.length > 0 || asked.get(queue) === true || (!!request.leave && asked.has(queue)),
        sent: new Map([...settle.map(({ token }) => token), ...running].map((token) => [bare(token), token])),
        send: {
          ...request,
          settle: settle.map((settlement) => ({ ...settlement, token: bare(settlement.token) })),
          running: running.map(bare),
          ...(progress && { progress: progress.map((report) => ({ ...report, token: bare(report.token) })) }),
          claim: { limit: 0, queues: claim ? [claim] : [{ queue }] },
        },
      };
    }
  }
}

interface Part {
  readonly queue: string;
  readonly send: ExchangeRequest;
  readonly running: readonly string[];
  readonly limit: number;
  /** There is more to say to this object than a claim. */
  readonly needed: boolean;
  /** How the worker calls the tokens that were sent. */
  readonly sent: ReadonlyMap<string, string>;
}

const name = (queue: string, token: string) => `${encodeURIComponent(queue)}:${token}`;
const bare = (token: string) => token.slice(token.indexOf(":") + 1);

function queueOfToken(token: string): string | undefined {
  const end = token.indexOf(":");
  return end < 0 ? undefined : decodeURIComponent(token.slice(0, end));
}

/** A reply in the words of the worker. A token that it sent comes back as it sent it. */
function named(queue: string, reply: ExchangeReply, sent: ReadonlyMap<string, string>): ExchangeReply {
  const own = (token: string) => sent.get(token) ?? name(queue, token);
  return {
    ...reply,
    jobs: reply.jobs.map((claimed): ClaimedJob => ({ ...claimed, token: name(queue, claimed.token) })),
    lost: reply.lost.map(own),
    cancel: reply.cancel.map(own),
  };
}

function merge(request: ExchangeRequest, replies: readonly ExchangeReply[]): ExchangeReply {
  const wakes = replies.flatMap(({ nextWakeMs }) => nextWakeMs ?? []);
  return {
    exchange: request.exchange,
    jobs: replies.flatMap(({ jobs }) => jobs),
    // Nobody was there to ask: what a worker says it holds in no queue is held in none.
    lost:
      replies.length > 0
        ? replies.flatMap(({ lost }) => lost)
        : [...request.settle.map(({ token }) => token), ...request.running],
    cancel: replies.flatMap(({ cancel }) => cancel),
    interrupted: replies.flatMap(({ interrupted }) => interrupted),
    unknown: replies.flatMap(({ unknown }) => unknown),
    ...(wakes.length > 0 && { nextWakeMs: Math.min(...wakes) }),
  };
}
