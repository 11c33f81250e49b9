import type { Clock } from "@quayside/core";
import { openChannel } from "./page-lifecycle.ts";
import { lockManager } from "./web-lock-liveness.ts";

/** How often a tab that waits to lead asks whether the leader is still there. */
const ASK_MS = 10_000;
/** Questions in a row without an answer after which it is not: it is frozen, and would hold its lock for ever. */
const PATIENCE = 3;

type Message = "are you there" | "here";

/**
 * One leader among the tabs of a site: who holds the Web Lock. The others stand in line for it, so that the next one has
 * it the moment the leader goes. A frozen tab keeps its lock; it is found out by its silence, and the lock taken from it.
 * Answering takes no timer, so a hidden, throttled leader is not found silent.
 *
 * Where Web Locks are missing or denied (blocked cookies, a sandboxed frame) every tab leads: claims are safe without.
 */
export class Leadership {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #changed: () => unknown;
  #leading = false;
  /** Ends the current request, whether it waits or leads. */
  #quit: (() => void) | undefined;
  #channel: BroadcastChannel | undefined;
  #unanswered = 0;
  #stopAsking: () => void = () => {};

  /** @param changed called after `leading` changed. */
  constructor(name: string, clock: Clock, changed: () => unknown) {
    this.#name = name;
    this.#clock = clock;
    this.#changed = changed;
  }

  get leading(): boolean {
    return this.#leading;
  }

  /** Waits for the lead. */
  seek(): void {
    if (this.#quit) return;
    if (!lockManager()) {
      this.#leadAlone();
      return;
    }
    this.#listen();
    this.#request(false);
    this.#askLater();
  }

  /** Leaves the line, or the lead. */
  resign(): void {
    this.#stopAsking();
    this.#channel?.close();
    this.#channel = undefined;
    this.#quit?.();
    this.#quit = undefined;
    this.#lead(false);
  }

  #request(steal: boolean): void {
    const line = new AbortController();
    let granted = false;
    let leave = () => {};
    const quit = () => {
      line.abort();
      leave();
    };
    this.#quit = quit;
    const hold = () =>
      new Promise<void>((resolve) => {
        granted = true;
        leave = resolve;
        // Called off while it was being granted.
        if (this.#quit !== quit) return resolve();
        this.#stopAsking();
        this.#lead(true);
        this.#say("here");
      });
    // The standard allows no signal with `steal`, which does not wait anyway.
    const options = steal ? { steal } : { signal: line.signal };
    lockManager()
      ?.request(this.#name, options, hold)
      .catch(() => {
        if (this.#quit !== quit) return;
        // Denied: asked again, it would be denied again, at once and without end.
        if (!granted) {
          this.#leadAlone();
          return;
        }
        // Another tab took the lead while this one was silent. This one waits again, behind the new leader.
        this.#quit = undefined;
        this.#lead(false);
        this.#request(false);
        this.#askLater();
      });
  }

  /** Without locks there is no line to stand in. */
  #leadAlone(): void {
    this.#stopAsking();
    this.#quit = () => {};
    this.#lead(true);
  }

  #askLater(): void {
    this.#unanswered = 0;
    const ask = () => {
      if (this.#unanswered === PATIENCE) {
        this.#quit?.();
        this.#request(true);
        return;
      }
      this.#unanswered++;
      this.#say("are you there");
      this.#stopAsking = this.#clock.after(ASK_MS, ask);
    };
    // Without a channel no tab could answer.
    if (this.#channel) this.#stopAsking = this.#clock.after(ASK_MS, ask);
  }

  #listen(): void {
    this.#channel = openChannel(this.#name);
    if (!this.#channel) return;
    this.#channel.onmessage = ({ data }: MessageEvent<Message>) => {
      if (data === "here") this.#unanswered = 0;
      else if (this.#leading) this.#say("here");
    };
  }

  #say(message: Message): void {
    this.#channel?.postMessage(message);
  }

  #lead(leading: boolean): void {
    if (leading === this.#leading) return;
    this.#leading = leading;
    this.#changed();
  }
}
