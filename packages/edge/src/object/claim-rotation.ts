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

/** Maximum number of queues from which one exchange claims, because each costs a few reads. */
const QUEUES = 100;

/**
 * Divides the claims of an object's worker over many queues. Each exchange claims from up to 100 of the queues that
 * have ready or blocked jobs, in the order of their names; the next exchange continues after them. The worker waits
 * only after a complete round over all queues.
 */
export class QueueRounds {
  /** Key at which the next exchange continues the round. Undefined: it begins a new round. */
  #from: Key | undefined;
  /** Key at which the round continues after the running exchange. */
  #next: Key | undefined;
  /** The earliest time at which a claim from one of the round's queues could succeed, as far as the round has come. */
  #wakeAt = Number.POSITIVE_INFINITY;
  /** Whether a queue that the round has passed may have new jobs. */
  #changed = false;

  /** Records a change. If it may have made a job ready, the worker claims from all queues again. */
  heed({ kind }: Change): void {
    if (kind === "ready" || kind === "settings") this.#changed = true;
  }

  /** Returns whether a claim names more queues than one exchange reads, so that it must be divided. */
  concern({ limit, queues }: ExchangeRequest["claim"]): boolean {
    return limit > 0 && queues.length > QUEUES;
  }

  /** Returns the queues from which the next exchange claims. */
  *next(queues: ExchangeRequest["claim"]["queues"]): Program<ExchangeRequest["claim"]["queues"]> {
    if (this.#from === undefined) {
      this.#wakeAt = Number.POSITIVE_INFINITY;
      this.#changed = false;
    }
    const { found, next } = yield* queuesInLine(this.#from ?? ["ready"]);
    this.#next = next;
    return queues.filter(({ queue }) => found.has(queue));
  }

  /** Completes an exchange: returns its reply, with `nextWakeMs` adjusted to the round. */
  answered({ nextWakeMs = Number.POSITIVE_INFINITY, ...reply }: ExchangeReply, now: number): ExchangeReply {
    this.#from = this.#next;
    this.#wakeAt = Math.min(this.#wakeAt, now + nextWakeMs);
    const wakeAt = this.#from || this.#changed ? now : this.#wakeAt;
    return wakeAt === Number.POSITIVE_INFINITY ? reply : { ...reply, nextWakeMs: Math.max(0, wakeAt - now) };
  }

  /** Begins a new round at the next exchange, because an exchange failed. */
  failed(): void {
    this.#from = undefined;
  }
}

/**
 * Returns up to 100 queues with ready or blocked jobs, starting at the key `from`, with one index search per queue; and
 * the key at which to continue.
 */
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
