import type { ExchangeReply, Settlement } from "../../engine/verbs.ts";
import type { QuaysideError } from "../../job/errors.ts";
import { openTokens } from "./exchange-parts.ts";

/** Results of a shard or queue that its worker has not collected yet. */
export type Arrived = Pick<ExchangeReply, "lost" | "cancel" | "interrupted" | "unknown"> & {
  readonly troubles: readonly unknown[];
  /** Settlements that were not stored as they were sent: see `ExchangeReply.settled`. */
  readonly settled: ReadonlyMap<string, Stored | null>;
};

/** A settlement that was stored in place of a refused one. */
type Stored = NonNullable<NonNullable<ReturnType<NonNullable<ExchangeReply["settled"]>["get"]>>>;

/** Collects the answers of a shard or queue that is asked separately, until its worker reads them. */
export class PlaceNews {
  #news = noNews();
  /** The settlements that are sent in place of refused ones, by token. */
  readonly #replaced = new Map<string, Stored>();
  /** Tokens of settlements that the shard or queue has received and not yet answered in full. */
  #open: ReadonlySet<string>;

  constructor(open: readonly string[]) {
    this.#open = new Set(open);
  }

  /** Number of settlements that a shard of the queue has not answered. */
  get open(): number {
    return this.#open.size;
  }

  /**
   * Records the reply to an exchange that sent the settlements `settle`. Returns whether the worker must make another
   * exchange.
   */
  receive(reply: ExchangeReply, settle: readonly Settlement[]): boolean {
    const { lost, cancel, interrupted, unknown, troubles = [], settled } = reply;
    const waited = [...this.#open, ...settle.map(({ token }) => token)];
    const news = this.#news;
    this.#open = new Set(openTokens(settled));
    for (const token of waited) {
      if (this.#open.has(token)) continue;
      const replaced = settled?.get(token) ?? this.#replaced.get(token);
      if (replaced) news.settled.set(token, replaced);
      this.#replaced.delete(token);
    }
    this.#news = {
      settled: news.settled,
      lost: news.lost.concat(lost),
      cancel: news.cancel.concat(cancel),
      interrupted: news.interrupted.concat(interrupted),
      unknown: news.unknown.concat(unknown),
      troubles: news.troubles.concat(troubles),
    };
    return lost.length + cancel.length + interrupted.length + waited.length > 0;
  }

  /** Records settlements as lost: it is unknown whether the exchange that sent them was stored. */
  lose(settle: readonly Settlement[]): void {
    this.#news.lost = this.#news.lost.concat(settle.map(({ token }) => token));
  }

  /** Records that a failure with this error is sent in place of a refused settlement. */
  replace(settlement: Settlement, error: QuaysideError): void {
    this.#replaced.set(settlement.token, { settlement, end: { error } });
  }

  trouble(error: unknown): void {
    this.#news.troubles.push(error);
  }

  /**
   * Returns and clears the collected results.
   *
   * @param unanswered settlements that the place has not answered.
   */
  collect(unanswered: readonly Settlement[]): Arrived {
    const news = this.#news;
    this.#news = noNews();
    for (const token of [...unanswered.map(({ token }) => token), ...this.#open]) news.settled.set(token, null);
    return news;
  }
}

const noNews = () => ({
  lost: [] as string[],
  cancel: [] as string[],
  interrupted: [] as ExchangeReply["interrupted"][number][],
  unknown: [] as ExchangeReply["unknown"][number][],
  troubles: [] as unknown[],
  settled: new Map<string, Stored | null>(),
});
