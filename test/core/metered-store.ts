import { isOperation, MemoryStore, type Operation, type Program, type Step, type Store } from "@quayside/core/engine";

/** Counts what each transaction reads and writes, and the most of any. */
export class Metered implements Store {
  read = 0;
  /** Records put or deleted, tallies left out: some stores keep these in memory. */
  written = 0;
  most = { read: 0, written: 0, operations: 0 };
  readonly #store: Store;

  constructor(store: Store = new MemoryStore()) {
    this.#store = store;
  }

  transact<T>(start: () => Program<T>): Promise<T> {
    return this.#store.transact(() => this.#metered(start()));
  }

  *#metered<T>(program: Program<T>): Program<T> {
    let read = 0;
    let written = 0;
    let operations = 0;
    let step = program.next();
    while (!step.done) {
      const asked: Step = step.value;
      const answer = yield asked;
      for (const [index, operation] of (isOperation(asked) ? [asked] : asked).entries()) {
        operations++;
        const one = isOperation(asked) ? answer : (answer as unknown[])[index];
        if (operation.op === "get" || operation.op === "scan")
          read += (one as readonly unknown[]).filter((record) => record !== undefined).length;
        else if (operation.op === "put") written += operation.records.length;
        this.written += rowsOf(operation);
      }
      step = program.next(answer);
    }
    this.read += read;
    this.most = {
      read: Math.max(this.most.read, read),
      written: Math.max(this.most.written, written),
      operations: Math.max(this.most.operations, operations),
    };
    return step.value;
  }

  announce: Store["announce"] = (changes) => this.#store.announce(changes);
  watch: Store["watch"] = (listener) => this.#store.watch(listener);
  close = () => this.#store.close();
}

function rowsOf(operation: Operation): number {
  if (operation.collection === "tallies") return 0;
  if (operation.op === "put") return operation.records.length;
  if (operation.op === "delete") return operation.keys.length;
  return operation.op === "deleteRange" ? 1 : 0;
}
