import { isOperation, type Operation, type Program, type Step, type Store } from "@quayside/core/engine";
import { checkInvariants, type DriverUnderTest, snapshot } from "@quayside/testing";

/** Most records that one call may read. */
export const MOST_READ = 10_000;

/** Most transactions that one case may take, renewals of a handler that hangs included: beyond, it goes round for ever. */
const MOST_TRANSACTIONS = 20_000;

/** The records of a home, and how many were read so far. */
export interface Look {
  /** All that is stored, as text. */
  readonly records: string;
  readonly violations: readonly string[];
  /** Records and keys (in an object's database: rows) read since it was opened, those for looks left out. */
  readonly read: number;
}

/** An opened home of the suite. */
export interface HostileHome extends DriverUnderTest {
  /** Absent where the store is in another process: only the watchdog ends what asks without end. */
  readonly meter?: Pick<Metered, "endless">;
  look(): Promise<Look>;
  /** Whether all that is due has been done when `advance` returns. */
  readonly prompt?: boolean;

  /** Present where callers are strangers, from whom any JSON may come: sends it to a path of the queue. Others have types. */
  readonly send?: (method: string, path: string, body: unknown) => Promise<void>;
}

export type OpenHome = () => Promise<HostileHome>;

/**
 * A store that counts the records and keys it answers. A program that reads more than a call may is ended by an error,
 * and who asks without end gets no answer: either would otherwise hang the run.
 */
export class Metered implements Store {
  read = 0;
  /** Rejects once there were too many transactions. */
  readonly endless: Promise<never>;
  readonly #store: Store;
  #left = MOST_TRANSACTIONS;
  #stop!: (reason: Error) => void;

  constructor(store: Store) {
    this.#store = store;
    this.endless = new Promise((_, reject) => {
      this.#stop = reject;
    });
    this.endless.catch(() => {});
  }

  transact<T>(start: () => Program<T>): Promise<T> {
    if (this.#left-- <= 0) {
      this.#stop(new Error(`There were more than ${MOST_TRANSACTIONS} transactions.`));
      return new Promise(() => {});
    }
    return this.#store.transact(() => this.#counted(start()));
  }

  *#counted<T>(program: Program<T>): Program<T> {
    let read = 0;
    let step = program.next();
    while (!step.done) {
      const asked: Step = step.value;
      const answer = yield asked;
      const count = isOperation(asked)
        ? answered(asked, answer)
        : asked.reduce((sum, one, index) => sum + answered(one, (answer as unknown[])[index]), 0);
      this.read += count;
      read += count;
      if (read > MOST_READ) throw new Error(`One transaction read more than ${MOST_READ} records.`);
      step = program.next(answer);
    }
    return step.value;
  }

  announce: Store["announce"] = (changes) => this.#store.announce(changes);
  watch: Store["watch"] = (listener) => this.#store.watch(listener);
  close = () => this.#store.close();
}

/** The look of a home whose store can be reached. */
export const lookInto = (store: Store, meter: Metered) => async (): Promise<Look> => ({
  records: JSON.stringify(await store.transact(snapshot)),
  violations: await store.transact(checkInvariants),
  read: meter.read,
});

const answered = ({ op }: Operation, answer: unknown): number =>
  op === "get" || op === "scan" ? (answer as readonly unknown[]).filter((one) => one !== undefined).length : 0;
