import { QuaysideError } from "./errors.ts";

/** Records which attempt (or `onFailed` hook) the running code belongs to. */
interface Scope {
  /** Whether asynchronous calls of a handler also belong to its attempt. */
  readonly follows: boolean;
  /**
   * Calls `act(...args)` as part of an attempt, or (undefined) of none. The separate arguments save a closure per job.
   */
  run<T, Args extends readonly unknown[]>(attempt: object | undefined, act: (...args: Args) => T, ...args: Args): T;
  current(): object | undefined;
}

interface AsyncStorage {
  run<T, Args extends readonly unknown[]>(value: object | undefined, act: (...args: Args) => T, ...args: Args): T;
  getStore(): object | undefined;
}

interface NodeGlobals {
  readonly process?:
    | {
        getBuiltinModule?(name: string): { readonly AsyncLocalStorage: new () => AsyncStorage } | undefined;
      }
    | undefined;
}

/**
 * Creates the scope. On Node, all of a handler's asynchronous calls belong to its attempt; on other platforms, only its
 * first synchronous part.
 */
function makeScope(): Scope {
  const Storage = (globalThis as NodeGlobals).process?.getBuiltinModule?.("node:async_hooks")?.AsyncLocalStorage;
  if (Storage) {
    const storage = new Storage();
    return {
      follows: true,
      run: (attempt, act, ...args) => storage.run(attempt, act, ...args),
      current: () => storage.getStore(),
    };
  }
  let current: object | undefined;
  return {
    follows: false,
    run(attempt, act, ...args) {
      const before = current;
      current = attempt;
      try {
        return act(...args);
      } finally {
        current = before;
      }
    },
    current: () => current,
  };
}

/** The scope of this process: gives the attempt whose handler is running in the current call. */
export const handlerScope: Scope = makeScope();

/**
 * Rejects a call inside a handler that would wait for that handler. Marked as handled, so that a call that is not
 * awaited does not end the process.
 */
export function refuseOwn(call: string): Promise<void> {
  const refused = Promise.reject(
    new QuaysideError("conflict", `A handler cannot await ${call} of its own worker: it would wait for itself.`),
  );
  refused.catch(() => {});
  return refused;
}
