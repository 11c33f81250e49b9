import type { Driver, JobCounts, JobRecord } from "@quayside/core";
import type { NewJob } from "@quayside/core/engine";
import type { DriverUnderTest, OpenDriver, TestRunner } from "../harness.ts";
import { checkInvariants, type Snapshot, snapshot } from "../invariants.ts";
import { QUEUE, TestWorker, type TestWorkerOptions } from "./test-worker.ts";

/** The arguments of a case: the driver and clock of an empty store, and short functions for frequent calls. */
export interface Scene {
  readonly expect: TestRunner["expect"];
  readonly driver: Driver;
  readonly another: () => Promise<Driver>;
  readonly now: () => number;
  readonly advance: (ms: number) => Promise<void>;
  readonly jump: (ms: number) => Promise<void>;
  /** Adds jobs in one call and returns their ids. Missing fields are those of `newJob`. */
  readonly add: <J extends readonly Partial<NewJob>[]>(...jobs: J) => Promise<{ [K in keyof J]: string }>;
  readonly worker: (options?: TestWorkerOptions) => TestWorker;
  /** Returns the job with this id, which must exist. */
  readonly job: (id: string, queue?: string) => Promise<JobRecord>;
  readonly counts: (queue?: string) => Promise<JobCounts>;
  readonly command: (
    type: "cancel" | "retry" | "promote" | "remove",
    id: string,
    queue?: string,
  ) => ReturnType<Driver["command"]>;
  /** Expects the promise to reject with this `code`. */
  readonly refused: (promise: Promise<unknown>, code: string) => Promise<void>;
  /** Moves the clock until the job may be claimed. */
  readonly untilDue: (id: string, queue?: string) => Promise<void>;
  /**
   * Simulates a crash: a worker claims the first job and then sends nothing. Resolves when `rescuer` has recovered the
   * job.
   */
  readonly interrupt: (rescuer: TestWorker) => Promise<void>;
  /** Runs a program on the records of the store. Undefined if the test has no access to them. */
  readonly transact: DriverUnderTest["transact"];
  /** Returns all records of the store; undefined if the test has no access to them. */
  readonly records: () => Promise<Snapshot | undefined>;
}

export interface Case {
  readonly name: string;
  /** Names of the plugins that the case needs. */
  readonly plugins: readonly string[];
  readonly run: (scene: Scene) => Promise<void>;
}

export interface Verb {
  readonly name: string;
  readonly cases: readonly Case[];
}

/**
 * Collects the cases of one verb, so that they can be counted before the runner starts. A call of `needs` names the
 * plugins that the cases after it need, up to the next call.
 */
export function verb(
  name: string,
  define: (it: (sentence: string, run: Case["run"]) => void, needs: (...plugins: readonly string[]) => void) => void,
): Verb {
  const cases: Case[] = [];
  let plugins: readonly string[] = [];
  define(
    (sentence, run) => cases.push({ name: sentence, plugins, run }),
    (...names) => {
      plugins = names;
    },
  );
  return { name, cases };
}

/** Runs a case on empty records, and checks the invariants of the records afterwards. */
export async function runCase({ run }: Case, open: OpenDriver, expect: TestRunner["expect"]): Promise<void> {
  const under = await open();
  try {
    await run(sceneOf(under, expect));
    if (under.transact) expect(await under.transact(checkInvariants), "violated invariants").toEqual([]);
  } finally {
    await under.close();
  }
}

export const newJob = (job: Partial<NewJob> = {}): NewJob => ({
  queue: QUEUE,
  name: "email",
  payload: '{"to":"ada"}',
  ...job,
});

/** Counts of an empty queue. */
export const NOTHING: JobCounts = {
  waiting: 0,
  delayed: 0,
  active: 0,
  completed: 0,
  failed: 0,
  cancelled: 0,
  paused: false,
};

/** Settings that keep no ended job. */
export const KEEP_NONE = { completed: 0, failed: 0, cancelled: 0 } as const;

function sceneOf(under: DriverUnderTest, expect: TestRunner["expect"]): Scene {
  const { driver, clock } = under;
  const scene: Scene = {
    expect,
    driver,
    another: () => under.another(),
    now: () => clock.now(),
    advance: (ms) => under.advance(ms),
    jump: (ms) => under.jump(ms),
    async add(...jobs) {
      const receipts = await driver.enqueue(jobs.map(newJob));
      return receipts.map(({ id }) => id) as { [K in keyof typeof jobs]: string };
    },
    worker: (options) => new TestWorker(driver, options),
    async job(id, queue = QUEUE) {
      const job = await driver.get(queue, id);
      if (!job) throw new Error(`There is no job ${id} in queue ${queue}.`);
      return job;
    },
    counts: (queue = QUEUE) => driver.counts(queue),
    command: (type, id, queue = QUEUE) => driver.command({ type, queue, id }),
    refused: (promise, code) => expect(promise).rejects.toMatchObject({ code }),
    async untilDue(id, queue) {
      const { availableAt } = await scene.job(id, queue);
      await under.advance(Math.max(0, availableAt - clock.now()));
    },
    async interrupt(rescuer) {
      const victim = new TestWorker(driver, { leaseMs: rescuer.leaseMs });
      await victim.take(1);
      await rescuer.look();
      await under.advance(rescuer.leaseMs + 1);
      await rescuer.look();
    },
    transact: under.transact,
    records: async () => under.transact?.(snapshot),
  };
  return scene;
}
