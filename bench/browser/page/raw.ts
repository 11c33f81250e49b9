import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { type Contestant, noOp, PAYLOAD, type Payload } from "./contestant.ts";

interface Schema extends DBSchema {
  jobs: { key: number; value: { key: number; name: string; payload: Payload } };
  leases: { key: string; value: { worker: string; expiresAt: number; held: number[] } };
}

/** Keys of what is not due yet: behind all others. */
const LATER = 1e12;

const write = (database: IDBPDatabase<Schema>) =>
  database.transaction(["jobs", "leases"], "readwrite", { durability: "relaxed" });

/** The least that could work on IndexedDB: no options, no attempts, no other workers; a lease, so that nothing is lost. */
export const raw: Contestant = {
  async open(name) {
    const database = await openDB<Schema>(name, 1, {
      upgrade(created) {
        created.createObjectStore("jobs", { keyPath: "key" });
        created.createObjectStore("leases", { keyPath: "worker" });
      },
    });
    let last = 0;
    const put = async (count: number, from = 0) => {
      const transaction = database.transaction("jobs", "readwrite", { durability: "relaxed" });
      for (let index = 0; index < count; index++)
        void transaction.store.put({ key: from + ++last, name: "email", payload: PAYLOAD });
      await transaction.done;
    };
    return {
      add: () => put(1),
      addAtOnce: put,
      addBulk: put,
      addLater: (count) => put(count, LATER),
      /** One transaction a batch: what was done goes, the next is read, and both stand in the lease. */
      async work(count, concurrency) {
        for (let left = count, done: number[] = []; left > 0 || done.length > 0; ) {
          const transaction = write(database);
          const jobs = transaction.objectStore("jobs");
          if (done.length > 0) void jobs.delete(IDBKeyRange.bound(done[0] as number, done[done.length - 1] as number));
          const batch = left > 0 ? await jobs.getAll(null, Math.min(left, concurrency)) : [];
          done = batch.map(({ key }) => key);
          void transaction.objectStore("leases").put({ worker: "w", expiresAt: Date.now() + 30_000, held: done });
          await transaction.done;
          await Promise.all(batch.map(({ payload }) => noOp(payload)));
          left -= batch.length;
        }
      },
      async wait() {
        return {
          async pickUp() {
            const start = performance.now();
            await put(1);
            const [job] = await database.transaction("jobs").store.getAll(null, 1);
            if (!job) throw new Error("Nothing was stored.");
            const started = performance.now();
            await noOp(job.payload);
            const transaction = write(database);
            await Promise.all([transaction.objectStore("jobs").delete(job.key), transaction.done]);
            return started - start;
          },
          async stop() {},
        };
      },
      close: async () => database.close(),
    };
  },
};
