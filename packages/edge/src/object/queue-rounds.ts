import {
  after,
  blockedLanes,
  type Change,
  type ExchangeReply,
  type ExchangeRequest,
  type Key,
  type Program,
  queueOf,
  scanKeys,
} from "@quayside/core/engine";

/** Queues that one exchange of an object's worker claims from, at most about: it reads some records of each. */
const QUEUES = 100;

/**
 * The claims of an object's worker from more queues than one exchange should read over. Each exchange asks some of the
 * queues that have jobs in line or beside it, in the order of their names, and the next one goes on behind them. A round is
 * over when all of them were asked; only then does the worker have nothing to do.
 */
export class QueueRounds {
  /** Where the round goes on; undefined: the next exchange begins one. */
  #from: Key | undefined;
  /** Where it goes on after the exchange that is on its way. */
  #next: Key | undefined;
  /** The first instant at which a claim from one of the queues of this round could succeed. */
  #wakeAt = Number.POSITIVE_INFINITY;
  /** A queue that the round has passed may have jobs now. */
  #changed = false;

  /** A change of the store: a round that is under way is repeated. */
  heed({ kind }: Change): void {
    if (kind === "ready" || kind === "settings") this.#changed = true;
  }

  /** Whether a claim is from more queues than one exchange asks. */
  concern({ limit, queues }: ExchangeRequest["claim"]): boolean {
    return limit > 0 && queues.length > QUEUES;
  }

  /** The queues that the next exchange asks. */
  *next(queues: ExchangeRequest["claim"]["queues"]): Program<ExchangeRequest["claim"]["queues"]> {
    if (this.#from === undefined) {
      this.#wakeAt = Number.POSITIVE_INFINITY;
      this.#changed = false;
    }
    const { found, next } = yield* queuesInLine(this.#from ?? ["ready"]);
    this.#next = next;
    return queues.filter(({ queue }) => found.has(queue));
  }

  /** The reply to that exchange, with the instant at which the worker is to look again. */
  answered({ nextWakeMs = Number.POSITIVE_INFINITY, ...reply }: ExchangeReply, now: number): ExchangeReply {
    this.#from = this.#next;
    this.#wakeAt = Math.min(this.#wakeAt, now + nextWakeMs);
    const wakeAt = this.#from || this.#changed ? now : this.#wakeAt;
    return wakeAt === Number.POSITIVE_INFINITY ? reply : { ...reply, nextWakeMs: Math.max(0, wakeAt - now) };
  }

  /** That exchange has failed: the next one begins a round. */
  failed(): void {
    this.#from = undefined;
  }
}

/** Queues with jobs in line, then those with jobs beside it, from a key on: one seek each. */
function* queuesInLine(from: Key): Program<{ readonly found: ReadonlySet<string>; readonly next: Key | undefined }> {
  const found = new Set<string>();
  let next: Key | undefined = from;
  for (let seeks = 0; next && seeks < QUEUES; seeks++) {
    const start: Key = next;
    const ready = start[0] === "ready";
    const [key] = yield* scanKeys("jobs", { from: start, to: after([start[0] as string]) }, 1);
    if (key) found.add(queueOf(key));
    if (key) next = ready ? after(["ready", key[1]]) : blockedLanes(queueOf(key)).to;
    else next = ready ? ["blocked"] : undefined;
  }
  return { found, next };
}
