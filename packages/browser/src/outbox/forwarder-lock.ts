import { isServer } from "../tabs/page-lifecycle.ts";
import { lockManager } from "../tabs/web-lock-liveness.ts";

/** The lock that the forwarding tab of a site has. A tab either holds or requests it. */
export interface ForwarderLock {
  readonly taken: boolean;
  /** Takes the lock from a tab that is frozen or suspended. That tab requests it again when it resumes. */
  steal(): void;
  leave(): void;
}

/**
 * Requests the Web Lock for the one tab of a site that forwards. The lock only saves work: two forwarding tabs would
 * send the same batches under the same numbers.
 *
 * @param name name of the lock. Absent, or without Web Locks (plain HTTP): this tab always holds the lock. With a name,
 * a server never gets the lock, because the jobs are in browsers.
 * @param hold called when the lock is granted. Returns a function that is called when the lock is lost.
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
        // Another tab has stolen the lock: requests it again. Any other error means that Web Locks do not work here.
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
