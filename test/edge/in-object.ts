import { runInDurableObject } from "cloudflare:test";
import { type Plugin, QuaysideError } from "@quayside/core";
import { type Store, StoreDriver } from "@quayside/core/engine";
import { SqlStore } from "@quayside/edge/engine";
import { createManualClock, type OpenDriver } from "@quayside/testing";

/** The records of an object: `open` makes a store on them, each of which is closed by itself. */
export interface ObjectRecords {
  open(): Store;
}

/** A `SqlStore` in a real object, usable from the test: everything it does, it does inside the object. */
export async function recordsIn(stub: DurableObjectStub): Promise<ObjectRecords> {
  const sql = await runInDurableObject(stub, (_, state) => new SqlStore(state.storage));
  return {
    open() {
      const store = sql.connect();
      const running = new Set<Promise<unknown>>();
      let closed: Promise<void> | undefined;
      return {
        transact(start) {
          // What was asked before the close is done, though it begins after it: it goes into the object first.
          if (closed) return Promise.reject(new QuaysideError("closed", "This store is closed."));
          const run = runInDurableObject(stub, () => store.transact(start));
          running.add(run);
          return run.finally(() => running.delete(run));
        },
        announce: (changes) => store.announce(changes),
        watch: (listener) => store.watch(listener),
        close() {
          closed ??= Promise.allSettled(running).then(() => store.close());
          return closed;
        },
      };
    },
  };
}

/** Opens drivers with these plugins on the records of a new object, for the suites. */
export const driversInObject =
  (namespace: DurableObjectNamespace, plugins: () => readonly Plugin[]): OpenDriver =>
  async () => {
    const clock = createManualClock();
    const records = await recordsIn(namespace.get(namespace.newUniqueId()));
    const drivers: StoreDriver[] = [];
    const another = async () => {
      const driver = new StoreDriver(records.open(), { plugins: plugins(), clock });
      drivers.push(driver);
      return driver;
    };
    return {
      driver: await another(),
      another,
      clock,
      advance: (ms) => clock.advance(ms),
      jump: async (ms) => clock.jump(ms),
      transact: (start) => records.open().transact(start),
      close: async () => {
        for (const driver of drivers) await driver.close();
      },
    };
  };

/** Storage that notes each statement run on it. */
export function noting(storage: DurableObjectStorage): {
  readonly storage: DurableObjectStorage;
  readonly statements: { readonly text: string; readonly bindings: readonly SqlStorageValue[] }[];
} {
  const statements: { text: string; bindings: readonly SqlStorageValue[] }[] = [];
  const sql = {
    exec(text: string, ...bindings: SqlStorageValue[]) {
      statements.push({ text, bindings });
      return storage.sql.exec(text, ...bindings);
    },
  };
  const noted = { sql, transactionSync: <T>(run: () => T) => storage.transactionSync(run) };
  return { storage: noted as unknown as DurableObjectStorage, statements };
}
