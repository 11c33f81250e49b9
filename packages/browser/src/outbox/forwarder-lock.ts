import { isServer } from "../tabs/page-lifecycle.ts";
import { lockManager } from "../tabs/web-lock-liveness.ts";

/** A held or requested lock of the tab that forwards. */
export interface ForwarderLock {
  readonly taken: boolean;
  /** Takes the lock from a tab that is frozen or suspended. That tab requests it again when it wakes. */
  steal(): void;
  leave(): void;
}

/**
 * Requests the Web Lock of the one tab of a site that forwards. The lock only saves work: two tabs that forward at once
 * send the same batches under the same numbers.
 *
 * @param name Absent, or without Web Locks (plain HTTP): this tab always holds the lock. With a name, a server never
 * gets it, because the jobs are in browsers.
 * @param hold Called when the lock is granted. Returns a function that is called when the lock is lost.
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
        // Stolen: this tab stops forwarding and requests the lock again. Any other error means that Web Locks do not
        // work here.
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
