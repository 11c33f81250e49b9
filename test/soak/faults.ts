import { type Driver, QuaysideError } from "@quayside/core";
import { pick, type Random } from "./behaviour.ts";

const VERBS = new Set(["enqueue", "exchange", "get", "list", "counts", "schedules", "command", "nextWake"]);

/** How often a call is refused before it is made, and how often its answer is lost, in [0, 1]. */
export interface Rates {
  readonly refused: number;
  readonly lost: number;
}

/** A driver whose calls fail as calls over a network do, and which can be cut off or die with its process. */
export class FaultyDriver {
  readonly driver: Driver;
  /** Nothing that is asked is answered any more, and nothing more is done: the process is gone. */
  dead = false;
  /** Every call is refused. */
  cut = false;
  /** Adds are refused: there is no room for more. */
  full = false;
  rates: Rates;

  constructor(driver: Driver, random: Random, rates: Rates) {
    this.rates = rates;
    this.driver = new Proxy(driver, {
      get: (target, verb) => {
        const member = Reflect.get(target, verb) as unknown;
        if (typeof member !== "function") return member;
        if (!VERBS.has(String(verb))) return member.bind(target);
        return (...args: unknown[]) => this.#call(random, String(verb), () => member.apply(target, args));
      },
    });
  }

  async #call(random: Random, verb: string, act: () => Promise<unknown>): Promise<unknown> {
    if (this.dead) return new Promise(() => {});
    if (this.cut || random() < this.rates.refused) throw failure(random);
    if (this.full && verb === "enqueue") throw new QuaysideError("storage_full", "There is no room.");
    const answer = await act();
    if (this.dead) return new Promise(() => {});
    if (random() < this.rates.lost) throw failure(random);
    return answer;
  }
}

const failure = (random: Random): QuaysideError =>
  new QuaysideError(pick(random, ["network", "storage_unavailable"] as const), "The soak refuses this.");
