import type { Liveness, Registration } from "@quayside/core/engine";
import { databaseName } from "../idb/database-name.ts";

/** Registers a store's workers as alive and detects dead ones. */
export interface WebLockLiveness {
  /** Resolves once the worker's lock is held. */
  register(worker: string): Promise<Registration>;
  /** Returns those of the given workers whose tab, frame or worker thread is gone. */
  deadWorkers(
    workers: readonly { readonly worker: string; readonly liveness: Liveness }[],
  ): Promise<ReadonlySet<string>>;
  /** Calls `died` as soon as one of these workers is gone. Each call replaces the workers of the previous call. */
  onPeerExit(workers: readonly string[], died: () => void): void;
}

/**
 * Detects dead workers by Web Locks: a worker holds a lock while it lives, and the browser releases it when the
 * worker's tab is closed, crashes or navigates away. So a dead tab's jobs are recovered before its lease expires. A
 * frozen tab keeps its lock; the cap on silent workers limits how long.
 *
 * Without Web Locks, workers have `liveness: "time"`, and no worker is reported as dead.
 *
 * @param name the name given to the workers' store.
 * @example
 * const driver = new StoreDriver(new IndexedDbStore({ name: "my-app" }), { plugins: everything(), ...tabs("my-app") });
 */
export function webLockLiveness(name: string): WebLockLiveness {
  const prefix = `${databaseName(name)}:`;
  const waits = new Map<string, AbortController>();
  return {
    register: (worker) => holdLock(prefix + worker),
    async deadWorkers(workers) {
      const lockers = workers.filter(({ liveness }) => liveness === "lock").map(({ worker }) => worker);
      const held = lockers.length > 0 ? await heldLocks() : undefined;
      return new Set(held && lockers.filter((worker) => !held.has(prefix + worker)));
    },
    onPeerExit(workers, died) {
      const meant = new Set(workers);
      for (const [worker, wait] of waits) {
        if (meant.has(worker)) continue;
        waits.delete(worker);
        wait.abort();
      }
      // A dead worker stays in the map until it is no longer watched, so that its death is reported once.
      for (const worker of meant) if (!waits.has(worker)) waits.set(worker, awaitLock(prefix + worker, died));
    },
  };
}

/** Registration of a worker without a lock: only the renewals of its lease show that it is alive. */
const byTime: Registration = { liveness: "time", leave() {} };

function holdLock(name: string): Promise<Registration> {
  const locks = lockManager();
  if (!locks) return Promise.resolve(byTime);
  return new Promise((resolve) => {
    const hold = () => new Promise<void>((leave) => resolve({ liveness: "lock", leave }));
    // Refused if the page may not use locks (a sandboxed frame, a page being closed): uses the lease instead.
    locks.request(name, hold).catch(() => resolve(byTime));
  });
}

/**
 * Requests a lock, to call `free` when its holder is gone. The request is a shared one, so that all waiting callers get
 * the lock at once.
 */
function awaitLock(name: string, free: () => void): AbortController {
  const wait = new AbortController();
  const { signal } = wait;
  // Refused or cancelled: another tab, or the next read of the leases, detects the death.
  lockManager()
    ?.request(name, { mode: "shared", signal }, () => {
      if (!signal.aborted) free();
    })
    .catch(() => {});
  return wait;
}

/** Returns the names of the held locks; undefined if the browser does not report them. */
async function heldLocks(): Promise<ReadonlySet<string> | undefined> {
  try {
    const snapshot = await lockManager()?.query();
    // Shared locks are held briefly by the code that waited for the worker's end.
    const lives = snapshot?.held?.filter(({ mode }) => mode === "exclusive");
    return lives && new Set(lives.map(({ name = "" }) => name));
  } catch {
    return undefined;
  }
}

/** Returns the lock manager. Unlike its type says, it may be missing: on insecure origins and in older browsers. */
export function lockManager(): LockManager | undefined {
  return typeof navigator === "undefined" ? undefined : (navigator.locks as LockManager | undefined);
}
