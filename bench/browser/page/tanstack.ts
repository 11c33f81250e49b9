import { createCollection, localOnlyCollectionOptions } from "@tanstack/db";
import { IndexedDBAdapter, type OnlineDetector, startOfflineExecutor } from "@tanstack/offline-transactions";
import { type Contestant, noOp, PAYLOAD, type Payload } from "./contestant.ts";

interface Job extends Payload {
  id: number;
}

/** A network that is switched by hand: offline, transactions wait in its outbox. */
class Network implements OnlineDetector {
  online = false;
  readonly #listeners = new Set<() => void>();

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  notifyOnline(): void {
    for (const listener of this.#listeners) listener();
  }

  isOnline(): boolean {
    return this.online;
  }

  dispose(): void {
    this.#listeners.clear();
  }
}

/** Its own storage, which tells when a transaction is stored; its API tells only when it is done. */
class Outbox extends IndexedDBAdapter {
  stored: () => void = () => {};

  override async set(key: string, value: string): Promise<void> {
    await super.set(key, value);
    this.stored();
  }
}

let made = 0;

/** An offline transaction, with one insert, is a job; its mutation function is the handler. */
export const tanstack: Contestant = {
  async open(name) {
    const network = new Network();
    const storage = new Outbox(name);
    const jobs = createCollection(
      localOnlyCollectionOptions<Job, number>({ id: `bench-${++made}`, getKey: ({ id }) => id }),
    );
    let handle: (payload: unknown) => Promise<void> = noOp;
    const executor = startOfflineExecutor({
      collections: { jobs },
      mutationFns: { email: ({ transaction }) => handle(transaction.mutations[0]?.modified) },
      storage,
      onlineDetector: network,
    });
    await executor.waitForInit();
    let last = 0;
    const commits: Promise<unknown>[] = [];
    /** Resolves when it has been worked. */
    const begin = (): Promise<unknown> => {
      const transaction = executor.createOfflineTransaction({ mutationFnName: "email", autoCommit: false });
      transaction.mutate(() => void jobs.insert({ id: ++last, ...PAYLOAD }));
      return transaction.commit();
    };
    const stored = (count: number) =>
      new Promise<void>((resolve) => {
        let left = count;
        storage.stored = () => --left === 0 && resolve();
      });
    return {
      async add() {
        const done = stored(1);
        commits.push(begin());
        await done;
      },
      async addAtOnce(count) {
        const done = stored(count);
        for (let index = 0; index < count; index++) commits.push(begin());
        await done;
      },
      /** One after the other: it knows no other way. */
      async work() {
        network.online = true;
        network.notifyOnline();
        await Promise.all(commits);
      },
      async wait() {
        network.online = true;
        return {
          async pickUp() {
            let started = 0;
            handle = async () => {
              started = performance.now();
            };
            const start = performance.now();
            await begin();
            return started - start;
          },
          async stop() {},
        };
      },
      close: async () => executor.dispose(),
    };
  },
};
