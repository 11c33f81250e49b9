import {
  isOperation,
  MemoryStore,
  type Operation,
  type Program,
  type Step,
  type Store,
  scanKeys,
} from "@quayside/core/engine";

/** Records that a verb read and wrote. */
export interface Cost {
  readonly read: number;
  readonly written: number;
}

/**
 * A store in memory that counts records. Read: each key of a `get`, found or not; for a `scan` one, for its search in
 * the index, and each record or key that it returns. Written: each record that is put or deleted, also by a range.
 */
export class CountingStore implements Store {
  read = 0;
  written = 0;
  readonly #store = new MemoryStore();

  transact<T>(start: () => Program<T>): Promise<T> {
    return this.#store.transact(() => this.#counted(start()));
  }

  /** Runs a program without counting it, to prepare records. */
  uncounted<T>(start: () => Program<T>): Promise<T> {
    return this.#store.transact(start);
  }

  *#counted<T>(program: Program<T>): Program<T> {
    let step = program.next();
    while (!step.done) {
      const asked: Step = step.value;
      const operations = isOperation(asked) ? [asked] : asked;
      for (const operation of operations) this.written += yield* writtenBy(operation);
      const answer = yield asked;
      for (const [index, operation] of operations.entries()) {
        const one = isOperation(asked) ? answer : (answer as unknown[])[index];
        if (operation.op === "get") this.read += operation.keys.length;
        if (operation.op === "scan") this.read += 1 + (one as readonly unknown[]).length;
      }
      step = program.next(answer);
    }
    return step.value;
  }

  announce: Store["announce"] = (changes) => this.#store.announce(changes);
  watch: Store["watch"] = (listener) => this.#store.watch(listener);
  close = () => this.#store.close();
}

function* writtenBy(operation: Operation): Program<number> {
  switch (operation.op) {
    case "put":
      return operation.records.length;
    case "delete":
      return operation.keys.length;
    case "deleteRange": {
      const { collection, from, to } = operation;
      return (yield* scanKeys(collection, { from, to }, Number.MAX_SAFE_INTEGER)).length;
    }
    default:
      return 0;
  }
}
