import { type Clock, type Driver, QuaysideError } from "@quayside/core";
import { pick, type Random } from "./behaviour.ts";

const VERBS = new Set(["enqueue", "exchange", "get", "list", "counts", "schedules", "command", "nextWake"]);

/** How often a call is refused before it is made, and how often its answer is lost, in [0, 1]. */
export interface Rates {
  readonly refused: number;
  readonly lost: number;
}

/** Watches for an exchange that stays without an answer for so long that its worker's lease may run out. */
export class Unanswered {
  readonly #clock: Clock;
  readonly #afterMs: number;
  readonly #disturb: () => () => void;
  #disarm: (() => void) | undefined;
  #over: (() => void) | undefined;

  /**
   * @param leaseMs a lease is renewed when a third of it is over, so the second third may pass without an answer.
   * @param disturb called then; what it returns is called with the answer.
   */
  constructor(clock: Clock, leaseMs: number, disturb: () => () => void) {
    this.#clock = clock;
    this.#afterMs = Math.floor(leaseMs / 3);
    this.#disturb = disturb;
  }

  /** The first send of an exchange, or another of one that has no answer yet. */
  sent(): void {
    this.#disarm ??= this.#clock.after(this.#afterMs, () => {
      this.#over = this.#disturb();
    });
  }

  answered(): void {
    this.#disarm?.();
    this.#over?.();
    this.#disarm = this.#over = undefined;
  }
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

  /** @param unanswered told of the exchanges of the one worker that has this driver. */
  constructor(driver: Driver, random: Random, rates: Rates, unanswered?: Unanswered) {
    this.rates = rates;
    this.driver = new Proxy(driver, {
      get: (target, verb) => {
        const member = Reflect.get(target, verb) as unknown;
        if (typeof member !== "function") return member;
        if (!VERBS.has(String(verb))) return member.bind(target);
        const call = (...args: unknown[]) => this.#call(random, String(verb), () => member.apply(target, args));
        if (verb !== "exchange" || !unanswered) return call;
        return async (...args: unknown[]) => {
          unanswered.sent();
          const reply = await call(...args);
          unanswered.answered();
          return reply;
        };
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
