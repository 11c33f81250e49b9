import { isOperation, type Operation, type Program, type Store } from "@quayside/core/engine";
import type { ObjectStore } from "./object-driver.ts";

/**
 * Calls listeners with the writes to a store's jobs while programs run, including writes that are rolled back later.
 */
export class JobWriteObserver {
  readonly #listeners = new Set<(operation: Operation) => void>();

  /** Returns the store with its writes observed. */
  over(store: ObjectStore): ObjectStore {
    const observed: Store & Pick<ObjectStore, "run"> = {
      transact: (start, kind) => store.transact(() => this.#observed(start()), kind),
      run: (start) => store.run(() => this.#observed(start())),
      announce: (changes) => store.announce(changes),
      watch: (listener) => store.watch(listener),
      close: () => store.close(),
    };
    return observed;
  }

  /** Adds a listener for write operations. Returns a function that removes it. */
  listen(listener: (operation: Operation) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #observed<T>(program: Program<T>): Program<T> {
    return this.#listeners.size === 0 ? program : this.#tell(program);
  }

  *#tell<T>(program: Program<T>): Program<T> {
    let step = program.next();
    while (!step.done) {
      for (const operation of isOperation(step.value) ? [step.value] : step.value)
        if (operation.collection === "jobs" && operation.op !== "get" && operation.op !== "scan")
          for (const listener of this.#listeners) listener(operation);
      step = program.next(yield step.value);
    }
    return step.value;
  }
}
