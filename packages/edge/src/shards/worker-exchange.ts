import { QuaysideError } from "@quayside/core";
import {
  type ExchangeReply,
  type ExchangeRequest,
  homeOfToken,
  named,
  partFor,
  type RecallingReply,
  type RecallingRequest,
} from "@quayside/core/engine";
import { type Memo, readMemo, spellMemo } from "./exchange-memo.ts";
import { type ShardExchangeOptions, ShardRound } from "./shard-round.ts";

/** Maximum number of workers whose state a driver keeps. */
const WORKERS_MOST = 1_000;

/**
 * A worker's exchanges with all shards of a queue. Asks the shards in turn, each for the jobs that are still missing to
 * the limit: first the shard whose turn it is, then shards with jobs of the worker, then the rest, except those that
 * are empty. Once the limit is reached, asks only shards with jobs of the worker, in parallel.
 *
 * Lists a shard that fails or is slow in `late` of the reply; the parts of the other shards still take effect (R41).
 *
 * A repeated exchange asks every shard and claims nothing new: each shard answers as before.
 */
export class ShardExchange {
  readonly #options: ShardExchangeOptions;
  readonly #memos = new Map<string, Memo>();

  constructor(options: ShardExchangeOptions) {
    this.#options = options;
  }

  /** Runs an exchange with one shard. */
  async only(shard: number, request: ExchangeRequest): Promise<ExchangeReply> {
    const part = partFor(request, `${shard}`, homeOfToken);
    return named(part, await this.#options.exchange(shard, { ...part.send, claim: request.claim }));
  }

  async exchange({ memo: text, again, quiet, apart, ...request }: RecallingRequest): Promise<RecallingReply> {
    const shards = this.#options.reach();
    const known = text === undefined ? this.#memos.get(request.worker) : readMemo(text, shards);
    if (known && request.exchange < known.exchange) throw stale(request, known.exchange);
    const memo = known?.seen.length === shards ? known : undefined;
    const round = new ShardRound(request, shards, {
      memo,
      again: again === true || known?.exchange === request.exchange,
      quiet: quiet === true,
      apart,
      ...this.#options,
    });
    // Unknown until the reply: the shards may hold jobs of the worker.
    this.#memos.delete(request.worker);
    this.#memos.set(request.worker, { exchange: request.exchange, seen: [] });
    const reply = await round.run();
    this.#remember(request, round.memo());
    return this.#options.memos ? { late: [], ...reply, memo: spellMemo(round.memo()) } : reply;
  }

  #remember({ worker, leave }: ExchangeRequest, memo: Memo): void {
    this.#memos.delete(worker);
    if (!leave) this.#memos.set(worker, memo);
    const [oldest] = this.#memos.keys();
    if (this.#memos.size > WORKERS_MOST && oldest !== undefined) this.#memos.delete(oldest);
  }
}

const stale = ({ exchange }: ExchangeRequest, last: number): QuaysideError =>
  new QuaysideError("stale_exchange", `Exchange ${exchange} came after exchange ${last}.`, {
    exchange,
    last,
  });
