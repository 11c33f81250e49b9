import { type ClaimQueue, type Clock, isQuaysideError, QuaysideError } from "@quayside/core";
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
  within,
} from "@quayside/core/engine";
import { jsonBytes } from "../json-bytes.ts";
import { REPLY_BYTES } from "../rpc/reply-budget.ts";
import type { Memo, ShardSeen } from "./exchange-memo.ts";
import { shardOfKey } from "./route.ts";

/**
 * Number of successive exchanges that begin at the same shard. Settled and newly claimed jobs are then in the lease
 * record of one shard, which is one row.
 */
const STAY = 8;
/** Maximum bytes of one job in a reply, with result and logs. Every shard may return at least this many bytes. */
const LARGEST_JOB = 1024 * 1024;
export interface ShardExchangeOptions {
  /** Returns the number of shards that an exchange asks. */
  readonly reach: () => number;
  readonly exchange: (shard: number, request: ExchangeRequest) => Promise<ExchangeReply>;
  /** Returns a number that changes with the changes of these queues in a shard: see `ChangeFeed.heard`. */
  readonly heard: (shard: number, queues: readonly string[]) => number | undefined;
  readonly clock: Clock;
  /** Longest time that an exchange waits for one shard, in ms. */
  readonly patienceMs: number;
  /**
   * Whether the caller keeps the state between exchanges and sends it with each, because this driver exists for one
   * call only.
   */
  readonly memos: boolean;
}

/** State from the worker's previous exchange, and whether this one is a repeat. */
export interface ShardRoundOptions extends ShardExchangeOptions {
  readonly memo: Memo | undefined;
  readonly again: boolean;
  readonly quiet: boolean;
  readonly apart: readonly string[] | undefined;
}

/** An exchange over the shards that is in progress. */
export class ShardRound {
  readonly #request: ExchangeRequest;
  readonly #options: ShardRoundOptions;
  readonly #shards: number;
  readonly #seen: (ShardSeen | undefined)[];
  readonly #replies: { readonly shard: number; readonly reply: ExchangeReply; readonly now: number }[] = [];
  readonly #apart: ReadonlySet<number>;
  readonly #late = new Map<number, unknown>();
  /** Whether a shard has not answered this exchange in time. */
  #hangs = false;
  #alone: number | undefined;
  #left: number;
  /** Remaining bytes of the reply: all shards together return no more than one object would (R31). */
  #bytes = REPLY_BYTES;

  constructor(request: ExchangeRequest, shards: number, options: ShardRoundOptions) {
    this.#request = request;
    this.#options = options;
    this.#shards = shards;
    this.#seen = [...(options.memo?.seen ?? [])];
    this.#alone = options.memo?.alone;
    this.#apart = new Set(options.apart?.map(Number));
    // A repeat returns the same jobs; new ones might exceed the limit.
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
   * Returns the reply, with the shards that have not answered in `late`.
   *
   * @throws the error of the first shard if all shards fail at once, or if repeating the request could not succeed.
   */
  #withLate({ futile: _, ...reply }: ExchangeReply, parts: readonly Part[]): RecallingReply {
    const { apart, memos } = this.#options;
    // A final refusal comes before an error that may pass: the worker then sends less.
    const errors = [...this.#late.values()];
    const error = errors.find((error) => partOfRefused(this.#request, error)) ?? errors[0];
    if (this.#late.size >= this.#shards && !this.#hangs) throw error;
    if (memos && !apart && [...this.#late.keys()].some((shard) => parts[shard]?.needed)) throw error;
    return { ...reply, late: [...this.#late].map(([shard, error]) => this.#lateOf(shard, error)) };
  }

  #lateOf(shard: number, error: unknown): Late {
    const { code, message } = error instanceof QuaysideError ? error : new QuaysideError("internal", String(error));
    // Logged here, because an HTTP caller does not get internal errors.
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

  /** Returns the claimed jobs in their order of start: first those to start now, then those claimed ahead. */
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

  /** The queues with the number of jobs that may still be claimed from each. */
  get #queues(): readonly ClaimQueue[] {
    return queuesLeft(this.#request.claim.queues, this.#taken);
  }

  get #taken(): readonly ExchangeReply[] {
    return this.#replies.map(({ reply }) => reply);
  }

  #mustAsk(shard: number, part: Part): boolean {
    const { memo, again } = this.#options;
    const { leave, exchange, claim } = this.#request;
    // An exchange without a claim still recovers jobs of dead workers, in every shard.
    const looks = claim.limit === 0 && claim.queues.length > 0;
    if (part.needed || again || looks) return true;
    const seen = memo?.seen[shard];
    return seen ? seen.holds || (leave === true && seen.leased) : leave === true || exchange > 1;
  }

  /** Number of the shard with which this exchange begins. */
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

  /** Returns whether the shard returned fewer jobs than requested last time and has reported no change since. */
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
    // Shards that are asked from now on are asked for no jobs.
    if (asked) this.#left = leftAfter({ limit, prefetch }, reply);
    this.#replies.push({ shard, reply: named(part, reply), now: limit - prefetch });
  }

  /**
   * Sends a shard its part, and returns the shard's reply; undefined if the shard fails, is too slow, or refuses the
   * part (R30).
   */
  async #send(shard: number, request: ExchangeRequest): Promise<ExchangeReply | undefined> {
    const { clock, exchange, patienceMs } = this.#options;
    const began = clock.monotonic();
    try {
      return await within(clock, patienceMs, `Shard ${shard}`, exchange(shard, request));
    } catch (error) {
      // These errors are about the worker or this driver, not about the shard.
      if (isQuaysideError(error, "stale_exchange", "closed")) throw error;
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
