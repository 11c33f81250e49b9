import { isServer } from "../tabs/page-lifecycle.ts";
import { lockManager } from "../tabs/web-lock-liveness.ts";

/** A place in the queue for the turn to forward. */
export interface ForwarderLock {
  readonly taken: boolean;
  /** Takes it from a tab that has it and does not move: frozen, suspended. That one queues again when it wakes. */
  steal(): void;
  leave(): void;
}

/**
 * Queues for the turn among the tabs of a site, by a Web Lock. It saves the work of doing everything in every tab, and
 * nothing depends on it: two tabs that both believe to have it send the same batches under the same numbers.
 *
 * @param name Absent, as are Web Locks on plain HTTP: the turn is always here. With one, a server never has it: the jobs lie
 * in browsers.
 * @param hold Called whenever the turn comes; answers what to call when it goes.
 */
export function requestForwarderLock(name: string | undefined, hold: () => () => void): ForwarderLock {
  const locks = lockManager();
  const gone = new AbortController();
  let release: (() => void) | undefined;

  const begin = (): Promise<void> => {
    const drop = hold();
    return new Promise<void>((resolve) => {
      release = () => {
        release = undefined;
        drop();
        resolve();
      };
    });
  };
  const ask = async (): Promise<void> => {
    while (!gone.signal.aborted && locks && name !== undefined) {
      try {
        await locks.request(name, { signal: gone.signal }, begin);
      } catch (error) {
        // Stolen: what it allowed is over, and the queue begins anew. Anything else means that there are no locks here.
        if (!release && !gone.signal.aborted) return void begin();
        release?.();
        if ((error as { name?: unknown } | undefined)?.name !== "AbortError") return;
      }
    }
  };

  if (name !== undefined && isServer()) gone.abort();
  else if (locks && name !== undefined) void ask();
  else void begin();
  return {
    get taken() {
      return release !== undefined;
    },
    steal() {
      if (release || gone.signal.aborted || !locks || name === undefined) return;
      locks.request(name, { steal: true }, begin).catch(() => release?.());
    },
    leave() {
      gone.abort();
      release?.();
    },
  };
}
