import { indexedDbDriver, type OutboxDriver, type OutboxDriverOptions, outboxDriver } from "@quayside/browser";
import { type Driver, memoryDriver, QuaysideError, Queue } from "@quayside/core";
import type { EnqueueReceipt, MemoryStore, NewJob, NumberedRequest } from "@quayside/core/engine";
import { createManualClock, type ManualClock } from "@quayside/testing";
import { openDB } from "idb";
import { vi } from "vitest";
import { databaseOf, drop, freshName } from "./databases.ts";

/** What becomes of a send: `go` lets the remote do it. */
export type Fault = (go: () => Promise<readonly EnqueueReceipt[]>) => Promise<readonly EnqueueReceipt[]>;

export const network = (details = {}) => new QuaysideError("network", "Out of reach.", details);
/** It does not get there. */
export const down: Fault = () => Promise.reject(network());
/** It is done, and the answer lost. */
export const lost: Fault = async (go) => {
  await go();
  throw network();
};
export const refuse =
  (error: QuaysideError): Fault =>
  () =>
    Promise.reject(error);

export interface Sent {
  readonly queue: string | undefined;
  readonly ids: readonly (string | undefined)[];
  readonly jobs: readonly NewJob[];
  readonly request: NumberedRequest | undefined;
}

/** A remote in memory behind a network that does as it is told, the same for all tabs. */
export class Remote {
  readonly driver: Driver;
  readonly clock: ManualClock;
  readonly sent: Sent[] = [];
  readonly commands: unknown[] = [];
  /** What a handler there was given, in order. */
  readonly handled: unknown[] = [];
  /** For each send that is to come; none left: it goes through. */
  readonly faults: Fault[] = [];
  /** While it is set, all sends and commands do this. */
  outage: Fault | undefined;
  /** While it is set, counts and lists are refused with it. */
  reads: QuaysideError | undefined;

  constructor(clock: ManualClock, store?: MemoryStore) {
    this.clock = clock;
    this.driver = memoryDriver({ clock, ...(store && { store }) });
  }

  /** As a tab reaches it. */
  connect(): Driver {
    const { driver } = this;
    const enqueue = (jobs: readonly NewJob[], request?: NumberedRequest) => {
      this.sent.push({ queue: jobs[0]?.queue, ids: jobs.map(({ id }) => id), jobs, request });
      const fault = this.outage ?? this.faults.shift() ?? ((go) => go());
      return fault(() => driver.enqueue(jobs, request));
    };
    const command: Driver["command"] = async (request) => {
      if (this.outage) throw network();
      this.commands.push(request);
      return driver.command(request);
    };
    const read =
      <Asked, Answer>(answer: (asked: Asked) => Promise<Answer>) =>
      async (asked: Asked) => {
        if (this.reads) throw this.reads;
        return answer(asked);
      };
    const own: Partial<Driver> = {
      enqueue,
      command,
      counts: read((queue) => driver.counts(queue)),
      list: read((query) => driver.list(query)),
      close: async () => {},
    };
    return new Proxy(driver, {
      get: (_, name) => {
        const value = own[name as keyof Driver] ?? driver[name as keyof Driver];
        return typeof value === "function" ? value.bind(driver) : value;
      },
    });
  }

  /** Runs all that is due there, and keeps nothing of it. */
  async work(name = "mail"): Promise<void> {
    const queue = new Queue(name, this.driver, { clock: this.clock });
    await queue.configure({ keep: { completed: 0, failed: 0, cancelled: 0 } });
    queue.on("job:email", (payload) => void this.handled.push(payload));
    await queue.drain();
  }
}

/** Tabs of a site, each with its outbox over the same database, and the remote that they share. */
export class Site {
  readonly name: string;
  readonly clock = createManualClock();
  readonly remote: Remote;
  readonly #open: Driver[] = [];

  constructor(name = freshName(), remote?: Remote) {
    this.name = name;
    this.remote = remote ?? new Remote(this.clock);
  }

  tab(options: Partial<OutboxDriverOptions> = {}): { readonly outbox: OutboxDriver; readonly mail: Queue } {
    const { clock, name } = this;
    const local = indexedDbDriver({ name, clock });
    const outbox = outboxDriver({ local, remote: this.remote.connect(), clock, random: () => 0, ...options });
    this.#open.push(outbox);
    return { outbox, mail: new Queue("mail", outbox, { clock }) };
  }

  /** A site on a copy of this database as it is now: a profile restored from a backup. */
  async copy(): Promise<Site> {
    const site = new Site(freshName(), this.remote);
    // Makes its object stores.
    const made = indexedDbDriver({ name: site.name });
    await made.counts("mail");
    await made.close();
    const [from, to] = await Promise.all([openDB(databaseOf(this.name)), openDB(databaseOf(site.name))]);
    for (const store of from.objectStoreNames) {
      const keys = await from.getAllKeys(store);
      for (const [index, record] of (await from.getAll(store)).entries()) await to.put(store, record, keys[index]);
    }
    from.close();
    to.close();
    return site;
  }

  async close(): Promise<void> {
    for (const driver of this.#open) await driver.close();
    await drop(this.name);
  }
}

/** Payloads `from`, `from + 1` … */
export const emails = (count: number, from = 0) =>
  Array.from({ length: count }, (_, index) => ({ name: "email", payload: from + index }));

/** Resolves when the outbox holds nothing more to deliver. */
export const delivered = (outbox: OutboxDriver): Promise<void> =>
  vi.waitFor(
    async () => {
      const { pending } = await outbox.state();
      if (pending > 0) throw new Error(`${pending} jobs are still to be delivered.`);
    },
    { timeout: 10_000 },
  );

/**
 * Resolves when a line that was woken has had the time to send: transactions on a database run in turn, and these are
 * more than it needs.
 */
export async function couldHaveSent(outbox: OutboxDriver): Promise<void> {
  for (let n = 0; n < 4; n++) await outbox.state();
}

/** A promise and what resolves it: the oldest browsers that are supported have no `Promise.withResolvers`. */
function signal(): readonly [promise: Promise<void>, resolve: () => void] {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return [promise, resolve];
}

/** A send that waits to be let on, and what tells that it has come. */
export function held(fault: Fault = (go) => go()): {
  readonly fault: Fault;
  readonly arrived: Promise<void>;
  readonly release: () => void;
} {
  const [arrived, arrive] = signal();
  const [released, release] = signal();
  return {
    fault: async (go) => {
      // Done at once; the answer is what waits.
      const end = fault(go).then(
        (receipts) => () => receipts,
        (error: unknown) => () => {
          throw error;
        },
      );
      const answer = await end;
      arrive();
      await released;
      return answer();
    },
    arrived,
    release,
  };
}

/** As on plain HTTP, where there are none: every tab believes to have the turn. */
export const withoutLocks = (): void => void vi.spyOn(navigator, "locks", "get").mockReturnValue(undefined as never);
