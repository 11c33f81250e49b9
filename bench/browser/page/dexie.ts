import { Dexie, type EntityTable, liveQuery } from "dexie";
import { type Contestant, noOp, PAYLOAD, type Payload } from "./contestant.ts";

interface Job {
  id: number;
  name: string;
  payload: Payload;
}

/** A table used as a queue, as an app would write it: whatever takes a job deletes it, and a crash loses it. */
export const dexie: Contestant = {
  async open(name) {
    const database = new Dexie(name) as Dexie & { jobs: EntityTable<Job, "id"> };
    database.version(1).stores({ jobs: "++id" });
    await database.open();
    const { jobs } = database;
    const job = () => ({ name: "email", payload: PAYLOAD });
    const take = (limit: number) =>
      database.transaction("rw", jobs, async () => {
        const batch = await jobs.orderBy("id").limit(limit).toArray();
        await jobs.bulkDelete(batch.map(({ id }) => id));
        return batch;
      });
    return {
      add: () => jobs.add(job()),
      addBulk: (count) => jobs.bulkAdd(Array.from({ length: count }, job)),
      async work(count, concurrency) {
        for (let left = count; left > 0; ) {
          const batch = await take(Math.min(left, concurrency));
          await Promise.all(batch.map(({ payload }) => noOp(payload)));
          left -= batch.length;
        }
      },
      /** Its live queries tell of what was added. */
      async wait() {
        let started = 0;
        let empty = () => {};
        const subscription = liveQuery(() => jobs.limit(1).count()).subscribe(async (count) => {
          if (count === 0) return empty();
          const batch = await take(1);
          if (batch.length > 0) started = performance.now();
          await Promise.all(batch.map(({ payload }) => noOp(payload)));
        });
        return {
          async pickUp() {
            const start = performance.now();
            started = 0;
            await jobs.add(job());
            // The query sees the job, takes it, and then sees that nothing is left.
            await new Promise<void>((resolve) => {
              empty = resolve;
            });
            if (started === 0) throw new Error("Nothing is left, and the job has not run.");
            return started - start;
          },
          stop: async () => subscription.unsubscribe(),
        };
      },
      close: async () => database.close(),
    };
  },
};
