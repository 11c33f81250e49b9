import { IndexedDbStore, indexedDbDriver, webLockLiveness } from "@quayside/browser";
import type { Change } from "@quayside/core/engine";
import { increment } from "./programs.ts";

export type Ask =
  | { readonly do: "register"; readonly name: string; readonly worker: string }
  | { readonly do: "claim"; readonly name: string; readonly worker: string; readonly queue: string }
  | { readonly do: "watch"; readonly name: string }
  | { readonly do: "announce"; readonly name: string; readonly changes: readonly Change[] }
  | { readonly do: "increment"; readonly name: string; readonly times: number };

export type Told = { readonly answer: unknown } | { readonly heard: readonly Change[] };

const tell = (told: Told): void => self.postMessage(told);

async function answer(ask: Ask): Promise<unknown> {
  if (ask.do === "register") return (await webLockLiveness(ask.name).register(ask.worker)).liveness;
  if (ask.do === "claim") return claim(ask);
  const store = new IndexedDbStore({ name: ask.name });
  switch (ask.do) {
    case "watch":
      store.watch((heard) => tell({ heard }));
      return;
    case "announce":
      store.announce(ask.changes);
      return;
    case "increment":
      return Promise.all(Array.from({ length: ask.times }, () => store.transact(increment)));
  }
}

/** Takes all that is due, to work on it for ever. Answers the ids. */
async function claim({ name, worker, queue }: Extract<Ask, { do: "claim" }>): Promise<readonly string[]> {
  const driver = indexedDbDriver({ name });
  const { liveness } = await driver.register(worker);
  const { jobs } = await driver.exchange({
    worker,
    liveness,
    leaseMs: 3_600_000,
    exchange: 1,
    settle: [],
    running: [],
    claim: { limit: 100, queues: [{ queue }] },
  });
  return jobs.map(({ job }) => job.id);
}

let last = Promise.resolve();
self.onmessage = ({ data }: MessageEvent<Ask>) => {
  last = last.then(async () => tell({ answer: await answer(data) }));
};
