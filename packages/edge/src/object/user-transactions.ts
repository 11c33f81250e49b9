/** One transaction of the object's own code that has not ended. */
interface OpenTransaction {
  /** Whether its callback may wait: `transaction`, and not `transactionSync`. */
  readonly waits: boolean;
  /** Whether a program of Quayside's has written in it. */
  written: boolean;
  /** Whether `txn.rollback()` was called in it: what is written afterwards stays. */
  rolledBack: boolean;
  /** Called once it is committed. */
  readonly pending: (() => void)[];
}

type AsyncTransaction = DurableObjectStorage["transaction"];
type SyncTransaction = DurableObjectStorage["transactionSync"];
type Callback = (txn: DurableObjectTransaction) => Promise<unknown>;

const observed = new WeakMap<DurableObjectStorage, Transactions>();
const patched = new WeakSet<object>();
/** Callbacks that an observed call has wrapped: the function below is not to wrap them again. */
const wrapped = new WeakSet<object>();

/**
 * The transactions that an object's own code has open in its storage. A Durable Object has no commit hook, so `transaction`
 * and `transactionSync` are replaced by functions that call the original ones: on the storage itself, and on its prototype
 * for code that took them from there.
 */
export class Transactions {
  /** From the first that began. They end in the reverse order. */
  readonly #open: OpenTransaction[] = [];
  #waiting: (() => void)[] = [];
  #own = false;
  /** Called when all that the object stores was deleted. */
  onDeleted: () => void = () => {};
  #undone = 0;

  /** Those of this storage; observes them from now on. */
  static of(storage: DurableObjectStorage): Transactions {
    const known = observed.get(storage);
    if (known) return known;
    const transactions = new Transactions();
    observed.set(storage, transactions);
    const { transaction, transactionSync } = storage;
    patchPrototype(storage);
    storage.transaction = ((callback: Callback) =>
      transactions.runAsync(transaction, storage, callback)) as AsyncTransaction;
    const { deleteAll } = storage;
    storage.deleteAll = (options) => {
      const done = deleteAll.call(storage, options);
      transactions.#undone++;
      transactions.onDeleted();
      return done;
    };
    storage.transactionSync = (callback) => transactions.runSync(transactionSync, storage, callback);
    return transactions;
  }

  get open(): boolean {
    return this.#open.length > 0;
  }

  /** Whether one is open whose callback may wait: what it waits for must not wait for its end. */
  get waiting(): boolean {
    return this.#open.some(({ waits }) => waits);
  }

  /** How often what programs had written was undone by one of them, or deleted with all that the object stores. */
  get undone(): number {
    return this.#undone;
  }

  /** Runs a program of Quayside's, which sees to its own undoing. */
  own<T>(run: () => T): T {
    const before = this.#own;
    this.#own = true;
    try {
      return run();
    } finally {
      this.#own = before;
    }
  }

  /** A program has written, within the innermost transaction if one is open. */
  wrote(): void {
    const innermost = this.#open.at(-1);
    if (innermost) innermost.written = true;
  }

  /** Calls `run` in a turn of its own once what was written so far is committed, and never if it is undone. */
  afterCommit(run: () => void): void {
    const innermost = this.#open.at(-1);
    if (innermost) innermost.pending.push(run);
    else queueMicrotask(run);
  }

  /** Resolves when none is open. */
  async ended(): Promise<void> {
    while (this.open) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** @internal `transactionSync` of this storage. */
  runSync<T>(original: SyncTransaction, storage: DurableObjectStorage, callback: () => T): T {
    if (this.#own || wrapped.has(callback)) return original.call(storage, callback) as T;
    let transaction: OpenTransaction | undefined;
    let committed = false;
    const observing = () => {
      transaction = this.#begin(false);
      return callback();
    };
    wrapped.add(observing);
    try {
      const result = original.call(storage, observing) as T;
      committed = true;
      return result;
    } finally {
      if (transaction) this.#end(transaction, committed);
    }
  }

  async runAsync<T>(original: AsyncTransaction, storage: DurableObjectStorage, callback: Callback): Promise<T> {
    if (wrapped.has(callback)) return original.call(storage, callback) as Promise<T>;
    let transaction: OpenTransaction | undefined;
    let committed = false;
    const observing = (txn: DurableObjectTransaction) => {
      const begun = this.#begin(true);
      transaction = begun;
      const { rollback } = txn;
      txn.rollback = () => {
        rollback.call(txn);
        this.#undo(begun);
        begun.rolledBack = true;
      };
      return callback(txn);
    };
    wrapped.add(observing);
    try {
      const result = (await original.call(storage, observing)) as T;
      committed = true;
      return result;
    } finally {
      if (transaction) this.#end(transaction, committed || transaction.rolledBack);
    }
  }

  #begin(waits: boolean): OpenTransaction {
    const transaction = { waits, written: false, rolledBack: false, pending: [] };
    this.#open.push(transaction);
    return transaction;
  }

  #undo(transaction: OpenTransaction): void {
    if (transaction.written) this.#undone++;
    transaction.written = false;
    transaction.pending.length = 0;
  }

  #end(transaction: OpenTransaction, committed: boolean): void {
    const index = this.#open.indexOf(transaction);
    this.#open.splice(index, 1);
    if (!committed) this.#undo(transaction);
    const around = this.#open[index - 1];
    if (around) around.written ||= transaction.written;
    for (const run of transaction.pending) {
      if (around) around.pending.push(run);
      else queueMicrotask(run);
    }
    if (this.open) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** Has code that takes the functions from the prototype observed too, where the storage that it calls them on is. */
function patchPrototype(storage: DurableObjectStorage): void {
  const prototype = Object.getPrototypeOf(storage) as DurableObjectStorage | null;
  // One of Quayside's own tests, or of a user's: plain objects have no prototype of their own.
  if (!prototype || prototype === Object.prototype || patched.has(prototype)) return;
  patched.add(prototype);
  const { transaction, transactionSync } = prototype;
  prototype.transaction = function (this: DurableObjectStorage, callback: Callback) {
    const transactions = observed.get(this);
    return transactions ? transactions.runAsync(transaction, this, callback) : transaction.call(this, callback);
  } as AsyncTransaction;
  prototype.transactionSync = function <T>(this: DurableObjectStorage, callback: () => T): T {
    const transactions = observed.get(this);
    return (
      transactions ? transactions.runSync(transactionSync, this, callback) : transactionSync.call(this, callback)
    ) as T;
  };
}
