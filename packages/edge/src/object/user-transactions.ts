/** An open transaction of the object's own code. */
interface OpenTransaction {
  /** Whether the transaction is an asynchronous one (`transaction`), whose callback may wait. */
  readonly waits: boolean;
  /** Whether a program of Quayside has written in it. */
  written: boolean;
  /** Whether `txn.rollback()` was called in it. Later writes are kept. */
  rolledBack: boolean;
  /** Functions to call after the commit. */
  readonly pending: (() => void)[];
}

type AsyncTransaction = DurableObjectStorage["transaction"];
type SyncTransaction = DurableObjectStorage["transactionSync"];
type Callback = (txn: DurableObjectTransaction) => Promise<unknown>;

const observed = new WeakMap<DurableObjectStorage, Transactions>();
const patched = new WeakSet<object>();
/**
 * Callbacks of transactions that a replaced function has wrapped already, so that an inner one does not wrap them
 * again.
 */
const wrapped = new WeakSet<object>();

/**
 * Observes the open transactions of an object's own code. Durable Objects have no commit hook, so `transaction` and
 * `transactionSync` of the storage and of its prototype are replaced by functions that call the original ones.
 */
export class Transactions {
  /** Open transactions, the outermost first. They end in reverse order. */
  readonly #open: OpenTransaction[] = [];
  #waiting: (() => void)[] = [];
  #own = false;
  /** Called when the object's code has deleted all of its storage. */
  onDeleted: () => void = () => {};
  #undone = 0;

  /** Returns the transactions of a storage. The first call starts to observe them. */
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

  /** Whether an asynchronous transaction is open. Code that it awaits must not wait for its end. */
  get waiting(): boolean {
    return this.#open.some(({ waits }) => waits);
  }

  /**
   * Number of times that the writes of a program were undone: its transaction was rolled back, or all storage was
   * deleted.
   */
  get undone(): number {
    return this.#undone;
  }

  /** Runs a program of Quayside. Its transaction does not count as one of the object's own code. */
  own<T>(run: () => T): T {
    const before = this.#own;
    this.#own = true;
    try {
      return run();
    } finally {
      this.#own = before;
    }
  }

  /** Records that a program has written, in the innermost open transaction if any. */
  wrote(): void {
    const innermost = this.#open.at(-1);
    if (innermost) innermost.written = true;
  }

  /** Calls `run` in a later task after the open transactions have committed. After a rollback, does not call it. */
  afterCommit(run: () => void): void {
    const innermost = this.#open.at(-1);
    if (innermost) innermost.pending.push(run);
    else queueMicrotask(run);
  }

  /** Resolves when no transaction is open. */
  async ended(): Promise<void> {
    while (this.open) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /**
   * Runs `callback` in a `transactionSync` of this storage, and observes it. `original`: the function that was
   * replaced.
   *
   * @internal
   */
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

/** Observes transactions started with functions taken from the storage's prototype. */
function patchPrototype(storage: DurableObjectStorage): void {
  const prototype = Object.getPrototypeOf(storage) as DurableObjectStorage | null;
  // Tests may use plain objects, which have no prototype of their own.
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
