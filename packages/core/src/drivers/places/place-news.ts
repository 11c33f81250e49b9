import type { ExchangeReply, Settlement } from "../../engine/verbs.ts";
import type { QuaysideError } from "../../job/errors.ts";
import { openTokens } from "./exchange-parts.ts";

/** A place's news for its worker, since they were last collected. */
export type Arrived = Pick<ExchangeReply, "lost" | "cancel" | "interrupted" | "unknown"> & {
  readonly troubles: readonly unknown[];
  /** See `ExchangeReply.settled`. */
  readonly settled: ReadonlyMap<string, Stored | null>;
};

/** A settlement that was stored in place of a refused one. */
type Stored = NonNullable<NonNullable<ReturnType<NonNullable<ExchangeReply["settled"]>["get"]>>>;

/** Gathers what a place that is asked apart has answered, until its worker collects it. */
export class PlaceNews {
  #news = noNews();
  /** By token: what is sent in place of a settlement that was refused. */
  readonly #replaced = new Map<string, Stored>();
  /** Tokens of settlements that the place took in, and that a part of it has not answered yet. */
  #open: ReadonlySet<string>;

  constructor(open: readonly string[]) {
    this.#open = new Set(open);
  }

  /** How many settlements a part of the place has not answered yet. */
  get open(): number {
    return this.#open.size;
  }

  /** Takes in the reply to an exchange that settled these. Returns whether the worker has to look. */
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

  /** These were sent in an exchange of which it is not known whether it was stored. */
  lose(settle: readonly Settlement[]): void {
    this.#news.lost = this.#news.lost.concat(settle.map(({ token }) => token));
  }

  /** This failure takes the place of how the attempt ended, which was refused. */
  replace(settlement: Settlement, error: QuaysideError): void {
    this.#replaced.set(settlement.token, { settlement, end: { error } });
  }

  trouble(error: unknown): void {
    this.#news.troubles.push(error);
  }

  /** @param unanswered settlements that the place has not answered. */
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
