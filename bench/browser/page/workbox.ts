import { Queue } from "workbox-background-sync";
import { type Contestant, noOp, PAYLOAD } from "./contestant.ts";

// Made for service workers, it asks their registration for Background Sync; a window has none, and it would throw. With
// one that knows no sync it does all the same, less the registering of a sync event with every job.
Object.defineProperty(globalThis, "registration", { value: {} });

let made = 0;

export const workbox: Contestant = {
  async open() {
    // Its database has one fixed name; queues in it are told apart by theirs, each good for one object.
    const queue = new Queue(`bench-${++made}`, { onSync() {} });
    await queue.size();
    return {
      /** What it stores is requests: the job is the body of one. */
      add: () =>
        queue.pushRequest({ request: new Request("/jobs", { method: "POST", body: JSON.stringify(PAYLOAD) }) }),
      /** As its own `replayRequests` does, with no fetch. One at a time: two that shift at once may get the same entry. */
      async work(count) {
        for (let left = count; left > 0; left--) await noOp(await queue.shiftRequest());
      },
      async close() {},
    };
  },
};
