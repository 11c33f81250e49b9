import type { Clock } from "@quayside/core";
import { openChannel } from "./page-lifecycle.ts";
import { lockManager } from "./web-lock-liveness.ts";

/** Interval at which a tab that waits for the leadership asks whether the leader still answers, in ms. */
const ASK_MS = 10_000;
/** Number of unanswered questions after which the leader counts as frozen, and its lock is taken. */
const PATIENCE = 3;

type Message = "are you there" | "here";

/**
 * Elects one leading tab of a site: the holder of a Web Lock. Other tabs queue for the lock, so the next one leads as
 * soon as the leader is gone. A frozen tab keeps its lock; other tabs detect it by unanswered messages and take the
 * lock. Answering needs no timer, so a hidden, throttled leader still answers.
 *
 * Without Web Locks (blocked cookies, a sandboxed frame), every tab leads; claims stay safe.
 */
export class Leadership {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #changed: () => unknown;
  #leading = false;
  /** Withdraws this tab's request for the lock, or releases the lock. Undefined: neither exists. */
  #quit: (() => void) | undefined;
  #channel: BroadcastChannel | undefined;
  #unanswered = 0;
  #stopAsking: () => void = () => {};

  /**
   * Creates the tab's part in the election.
   *
   * @param changed called after `leading` changed.
   */
  constructor(name: string, clock: Clock, changed: () => unknown) {
    this.#name = name;
    this.#clock = clock;
    this.#changed = changed;
  }

  get leading(): boolean {
    return this.#leading;
  }

  /** Requests the leadership. */
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

  /** Withdraws the request, or gives up the leadership. */
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
        // Withdrawn while the lock was being granted.
        if (this.#quit !== quit) return resolve();
        this.#stopAsking();
        this.#lead(true);
        this.#say("here");
      });
    // The standard allows no signal with `steal`, which does not wait.
    const options = steal ? { steal } : { signal: line.signal };
    lockManager()
      ?.request(this.#name, options, hold)
      .catch(() => {
        if (this.#quit !== quit) return;
        // Refused by the browser: repeating the request would be refused at once, without end.
        if (!granted) {
          this.#leadAlone();
          return;
        }
        // Another tab took the leadership while this one was unresponsive. This tab requests it again.
        this.#quit = undefined;
        this.#lead(false);
        this.#request(false);
        this.#askLater();
      });
  }

  /** Leads without a lock, because the browser has no Web Locks. */
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
