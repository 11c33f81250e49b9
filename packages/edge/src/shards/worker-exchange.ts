import { type ClaimQueue, type Clock, hasCode, QuaysideError } from "@quayside/core";
import {
  type ClaimedJob,
  type ExchangeReply,
  type ExchangeRequest,
  holdsAfter,
  homeOfToken,
  isBusyElsewhere,
  type Late,
  leftAfter,
  merge,
  named,
  type Part,
  partFor,
  partOfRefused,
  queuesLeft,
  type RecallingReply,
  type RecallingRequest,
  within,
} from "@quayside/core/engine";
import { jsonBytes } from "../json-bytes.ts";
import { REPLY_BYTES } from "../rpc/reply-budget.ts";
import { type Memo, readMemo, type ShardSeen, spellMemo } from "./continuation.ts";
import { shardOfKey } from "./route.ts";

/**
 * Exchanges for which a worker begins at the same shard: what it settles and what it claims then lie in one lease record,
 * which is one row; after that, it is the next shard's turn.
 */
const STAY = 8;
/** Bytes that one job may take in a reply, with its result and its logs: so much each shard may always give. */
const LARGEST_JOB = 1024 * 1024;
/** Workers remembered by one driver. */
const WORKERS_MOST = 1_000;

export interface ShardExchangeOptions {
  /** How many shards there are to ask. */
  readonly reach: () => number;
  readonly exchange: (shard: number, request: ExchangeRequest) => Promise<ExchangeReply>;
  /** See `ChangeFeed.heard`. */
  readonly heard: (shard: number, queues: readonly string[]) => number | undefined;
  readonly clock: Clock;
  /** How long an exchange waits for one shard. */
  readonly patienceMs: number;
  /** The caller keeps the state and sends it along, because this driver is made for one call. */
  readonly memos: boolean;
}

/**
 * A worker's exchange over the shards of a queue. Each is asked with what the ones before left of the limit, one after
 * the other, so that together they give no more: first the one whose turn it is, then those that have to be asked anyway
 * (something of theirs ends or runs), then the rest, those that are known to be empty not at all. Once the limit is
 * reached, only those are asked that have to be, side by side.
 *
 * A shard that fails, or answers late, is named in the reply (`late`): the others' part is done all the same (R41).
 *
 * Sent again after a lost answer, an exchange asks every shard and claims nothing new: each answers as before.
 */
export class ShardExchange {
  readonly #options: ShardExchangeOptions;
  readonly #memos = new Map<string, Memo>();

  constructor(options: ShardExchangeOptions) {
    this.#options = options;
  }

  /** An exchange with one shard, of a worker that asks it apart from the others. */
  async only(shard: number, request: ExchangeRequest): Promise<ExchangeReply> {
    const part = partFor(request, `${shard}`, homeOfToken);
    return named(part, await this.#options.exchange(shard, { ...part.send, claim: request.claim }));
  }

  async exchange({ memo: text, again, quiet, apart, ...request }: RecallingRequest): Promise<RecallingReply> {
    const shards = this.#options.reach();
    const known = text === undefined ? this.#memos.get(request.worker) : readMemo(text, shards);
    if (known && request.exchange < known.exchange) throw stale(request, known.exchange);
    const memo = known?.seen.length === shards ? known : undefined;
    const round = new Round(request, shards, {
      memo,
      again: again === true || known?.exchange === request.exchange,
      quiet: quiet === true,
      apart,
      ...this.#options,
    });
    // Until it is answered, it is unknown what the shards hold for the worker.
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

interface RoundOptions extends ShardExchangeOptions {
  readonly memo: Memo | undefined;
  readonly again: boolean;
  readonly quiet: boolean;
  readonly apart: readonly string[] | undefined;
}

/** One exchange on its way over the shards. */
class Round {
  readonly #request: ExchangeRequest;
  readonly #options: RoundOptions;
  readonly #shards: number;
  readonly #seen: (ShardSeen | undefined)[];
  readonly #replies: { readonly shard: number; readonly reply: ExchangeReply; readonly now: number }[] = [];
  readonly #apart: ReadonlySet<number>;
  readonly #late = new Map<number, unknown>();
  /** A shard has not answered in time. */
  #hangs = false;
  #alone: number | undefined;
  #left: number;
  /** Bytes left of the reply: together the shards give no more than one object would (R31). */
  #bytes = REPLY_BYTES;

  constructor(request: ExchangeRequest, shards: number, options: RoundOptions) {
    this.#request = request;
    this.#options = options;
    this.#shards = shards;
    this.#seen = [...(options.memo?.seen ?? [])];
    this.#alone = options.memo?.alone;
    this.#apart = new Set(options.apart?.map(Number));
    // What it gave then, it gives again; more might be more than there is room for.
    this.#left = options.again ? 0 : request.claim.limit;
  }

  async run(): Promise<RecallingReply> {
    const parts = Array.from({ length: this.#shards }, (_, shard) => partFor(this.#request, `${shard}`, homeOfToken));
    const asked = [...parts.keys()].filter((shard) => !this.#apart.has(shard));
    const needed = new Set(asked.filter((shard) => this.#mustAsk(shard, parts[shard] as Part)));
    for (const shard of this.#order(needed)) {
      if (this.#apart.has(shard)) continue;
      if (this.#left <= 0 || this.#queues.every(({ limit }) => limit === 0)) break;
      if (!needed.has(shard) && this.#isEmpty(shard) && shard !== this.#turn) continue;
      needed.delete(shard);
      await this.#ask(shard, parts[shard] as Part, this.#left);
    }
    const share = Math.max(LARGEST_JOB, Math.floor(this.#bytes / Math.max(1, needed.size)));
    await Promise.all([...needed].map((shard) => this.#ask(shard, parts[shard] as Part, 0, share)));
    const nowhere = [...this.#request.settle.map(({ token }) => token), ...this.#request.running].filter(
      (token) => Number(homeOfToken(token)) >= this.#shards,
    );
    const replies = this.#replies.sort((a, b) => a.shard - b.shard).map(({ reply }) => reply);
    const reply = merge(this.#request, replies, nowhere);
    const ordered = reply.jobs.length > 1 ? { ...reply, jobs: this.#inOrder() } : reply;
    return this.#late.size > 0 ? this.#withLate(ordered, parts) : ordered;
  }

  /**
   * The reply, naming the shards that have not answered.
   *
   * @throws the error of the first of them where all fail at once, or where the caller would not send its part again.
   */
  #withLate({ futile: _, ...reply }: ExchangeReply, parts: readonly Part[]): RecallingReply {
    const { apart, memos } = this.#options;
    // One that is refused again as it is comes before one that may be answered later: the worker then sends less.
    const errors = [...this.#late.values()];
    const error = errors.find((error) => partOfRefused(this.#request, error)) ?? errors[0];
    if (this.#late.size >= this.#shards && !this.#hangs) throw error;
    if (memos && !apart && [...this.#late.keys()].some((shard) => parts[shard]?.needed)) throw error;
    return { ...reply, late: [...this.#late].map(([shard, error]) => this.#lateOf(shard, error)) };
  }

  #lateOf(shard: number, error: unknown): Late {
    const { code, message } = error instanceof QuaysideError ? error : new QuaysideError("internal", String(error));
    // Over HTTP a caller learns no more of the server's inside than elsewhere: its log does.
    if (this.#options.memos) console.error(error);
    return {
      place: `${shard}`,
      kind: "shard",
      code,
      message: partOfRefused(this.#request, error)
        ? `Shard ${shard} refuses its part of the exchange (${code}): ${message}`
        : `Shard ${shard} does not answer (${code})${this.#options.memos ? "" : `: ${message}`}`,
      ...(this.#alone === shard && { alone: true }),
    };
  }

  /** Returns the claimed jobs: those to start now, then those for later. */
  #inOrder(): readonly ClaimedJob[] {
    const pick = (part: (reply: ExchangeReply, now: number) => readonly ClaimedJob[]) =>
      this.#replies.flatMap(({ reply, now }) => part(reply, now)).sort(byClaimOrder);
    return [...pick(({ jobs }, now) => jobs.slice(0, now)), ...pick(({ jobs }, now) => jobs.slice(now))];
  }

  memo(): Memo {
    return {
      exchange: this.#request.exchange,
      seen: Array.from({ length: this.#shards }, (_, shard) =>
        this.#apart.has(shard) ? UNKNOWN : (this.#seen[shard] ?? NOTHING_SEEN),
      ),
      ...(this.#alone !== undefined && { alone: this.#alone }),
    };
  }

  /** The queues and numbers that may still be claimed. */
  get #queues(): readonly ClaimQueue[] {
    return queuesLeft(this.#request.claim.queues, this.#taken);
  }

  get #taken(): readonly ExchangeReply[] {
    return this.#replies.map(({ reply }) => reply);
  }

  #mustAsk(shard: number, part: Part): boolean {
    const { memo, again } = this.#options;
    const { leave, exchange, claim } = this.#request;
    // A look without a claim sees after those who died, in every shard.
    const looks = claim.limit === 0 && claim.queues.length > 0;
    if (part.needed || again || looks) return true;
    const seen = memo?.seen[shard];
    return seen ? seen.holds || (leave === true && seen.leased) : leave === true || exchange > 1;
  }

  /** The shard with which this exchange begins. */
  get #turn(): number {
    const { worker, exchange } = this.#request;
    return (shardOfKey(worker, this.#shards) + Math.floor((exchange - 1) / STAY)) % this.#shards;
  }

  #order(needed: ReadonlySet<number>): readonly number[] {
    if (this.#left <= 0) return [];
    const turns = Array.from({ length: this.#shards }, (_, step) => (this.#turn + step) % this.#shards);
    const rank = (shard: number) => {
      if (shard === this.#alone) return 0;
      if (shard === this.#turn) return 1;
      if (needed.has(shard)) return 2;
      return this.#hadLess(shard) ? 4 : 3;
    };
    return turns.sort((a, b) => rank(a) - rank(b));
  }

  /** When it was last asked it had less than there was room for, and nothing is known to have come since. */
  #hadLess(shard: number): boolean {
    const seen = this.#seen[shard];
    return seen !== undefined && seen.had !== "more" && this.#isQuiet(shard, seen);
  }

  #isEmpty(shard: number): boolean {
    return this.#hadLess(shard) && this.#seen[shard]?.had === "empty";
  }

  #isQuiet(shard: number, { heard }: ShardSeen): boolean {
    return this.#options.quiet || (heard !== undefined && heard === this.#heard(shard));
  }

  #heard(shard: number): number | undefined {
    return this.#options.heard(
      shard,
      this.#request.claim.queues.map(({ queue }) => queue),
    );
  }

  async #ask(shard: number, part: Part, limit: number, bytes = this.#bytes): Promise<void> {
    const heard = this.#heard(shard);
    const { queues } = this.#request.claim;
    const prefetch = Math.min(limit, this.#request.claim.prefetch ?? 0);
    const reply = await this.#send(shard, {
      ...part.send,
      claim: {
        limit,
        ...(prefetch > 0 && { prefetch }),
        queues: this.#queues,
        bytes,
        ...(isBusyElsewhere(this.#request, part, this.#taken) && { busy: true }),
      },
    });
    if (!reply) {
      this.#seen[shard] = UNKNOWN;
      return;
    }
    const asked = limit > 0 && queues.length > 0;
    const leased = part.needed || reply.jobs.length > 0 || this.#seen[shard]?.leased === true;
    this.#seen[shard] = {
      holds: holdsAfter(part, reply),
      leased: leased && !this.#request.leave,
      had: asked && reply.jobs.length < limit ? hadLess(reply) : "more",
      heard,
    };
    this.#bytes = Math.max(0, this.#bytes - jsonBytes(reply));
    if (reply.alone) this.#alone = shard;
    else if (this.#alone === shard) this.#alone = undefined;
    // The others that are asked now are asked for nothing.
    if (asked) this.#left = leftAfter({ limit, prefetch }, reply);
    this.#replies.push({ shard, reply: named(part, reply), now: limit - prefetch });
  }

  /** The shard's reply; undefined where it has trouble, takes too long, or refuses its part (R30). */
  async #send(shard: number, request: ExchangeRequest): Promise<ExchangeReply | undefined> {
    const { clock, exchange, patienceMs } = this.#options;
    const began = clock.monotonic();
    try {
      return await within(clock, patienceMs, `Shard ${shard}`, exchange(shard, request));
    } catch (error) {
      // Not about this shard, but about the worker, or this driver.
      if (hasCode(error, "stale_exchange", "closed")) throw error;
      this.#late.set(shard, error);
      this.#hangs ||= clock.monotonic() - began >= patienceMs;
      return undefined;
    }
  }
}

const UNKNOWN: ShardSeen = { holds: true, leased: true, had: "more" };
const NOTHING_SEEN: ShardSeen = { holds: false, leased: false, had: "more" };

const hadLess = ({ nextWakeMs }: ExchangeReply): ShardSeen["had"] => {
  if (nextWakeMs === 0) return "more";
  return nextWakeMs === undefined ? "empty" : "later";
};

function byClaimOrder({ job: a }: ExchangeReply["jobs"][number], { job: b }: ExchangeReply["jobs"][number]): number {
  return b.priority - a.priority || a.availableAt - b.availableAt;
}

const stale = ({ exchange }: ExchangeRequest, last: number): QuaysideError =>
  new QuaysideError("stale_exchange", `Exchange ${exchange} came after exchange ${last}.`, {
    exchange,
    last,
  });
