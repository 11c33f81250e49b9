/** Which attempt (or `onFailed` hook) the running code belongs to. */
interface Scope {
  /** Whether it follows asynchronous calls. */
  readonly follows: boolean;
  /** Calls `act` as part of this attempt, or of none. Arguments are passed on: no closure per job. */
  run<T, Args extends readonly unknown[]>(attempt: object | undefined, act: (...args: Args) => T, ...args: Args): T;
  current(): object | undefined;
}

interface AsyncStorage {
  run<T, Args extends readonly unknown[]>(value: object | undefined, act: (...args: Args) => T, ...args: Args): T;
  getStore(): object | undefined;
}

interface NodeGlobals {
  readonly process?: {
    getBuiltinModule?(name: string): { readonly AsyncLocalStorage: new () => AsyncStorage } | undefined;
  };
}

/**
 * Where the platform can follow asynchronous calls (Node), a handler's whole run belongs to its attempt; elsewhere its
 * first synchronous part does.
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

/** The attempt whose handler is running in the current call. */
export const handlerScope: Scope = makeScope();
