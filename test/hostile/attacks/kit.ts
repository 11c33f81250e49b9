import {
  everything,
  type Handler,
  type JobOptions,
  type JobRecord,
  QuaysideError,
  Queue,
  type QueueOptions,
} from "@quayside/core";
import { cron } from "@quayside/core/cron";
import { MemoryStore, StoreDriver, type StoreDriverOptions } from "@quayside/core/engine";
import { checkInvariants, createManualClock, drain, type ManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { Metered } from "../home.ts";

/** Longest real time of one row: one that hangs fails, and says so. */
const ROW_MS = 3_000;
/** Runs beyond its attempts after which a handler gives up: a job that repeats for ever fails its row. */
const SPARE_RUNS = 5;

/** A value of a type that it has not: what callers without types may pass. */
export const odd = <T>(value: unknown): T => value as T;

/** The set-up of a row: a queue in memory with a manual clock. */
export interface Room {
  readonly clock: ManualClock;
  readonly driver: StoreDriver;
  readonly queue: Queue;
  /** Errors of `error` events. */
  readonly faults: unknown[];
  /** Another queue on the same jobs. */
  open(name: string, options?: QueueOptions): Queue;
  another(options?: Partial<StoreDriverOptions>): StoreDriver;
  /** Adds a job with this handler, works it to its end, and says what came of it. */
  ends(handler: Handler, options?: JobOptions): Promise<string>;
  /** As `ends`, of this queue and with more of the job in what it says. */
  endsOn(queue: Queue, handler: Handler, options?: JobOptions, more?: (job: JobRecord) => unknown): Promise<string>;
}

/** The outcome of a call: its answer, or its error and whether the message names the mistake. */
export async function outcome(call: () => unknown): Promise<string> {
  try {
    return said(await call());
  } catch (error) {
    return refusal(error);
  }
}

export function refusal(error: unknown): string {
  if (!(error instanceof QuaysideError)) return `raw ${String(error).slice(0, 160)}`;
  const { code, message, details } = error;
  // An issue of the value itself: the message begins with its path.
  const named =
    /(?:^|: )((?:payload|result|progress)[.[\w\]]*) /.exec(details["issues"] ? message : "")?.[1] ?? details["option"];
  if (typeof named === "string" && named.length < 60 && message.includes(named))
    return `refused ${code}, names ${named}`;
  return `refused ${code}: ${cut(message)}`;
}

export const said = (value: unknown): string =>
  typeof value === "string" ? cut(value) : value === undefined ? "done" : cut(JSON.stringify(value) ?? typeof value);

/** Generated ids are another each time. */
const GENERATED = /\b[0-9a-z]{1,2}-[0-9a-z]{1,11}-[0-9a-z]{1,11}-[0-9a-z]{8}\b/g;

const cut = (text: string): string => {
  const shown = text.replace(GENERATED, "ID");
  return shown.length > 150 ? `${shown.slice(0, 150)}[${shown.length} in all]` : shown;
};

export function ended(job: JobRecord | undefined, runs: number): string {
  if (!job) return "gone";
  const { state, attempts, maxAttempts, error, result } = job;
  const end = error
    ? `${state} ${error.code}: ${cut(error.message)}`
    : result === undefined
      ? state
      : `${state} with ${said(result)}`;
  return `${end} (${runs} runs, ${attempts} of ${maxAttempts})`;
}

async function makeRoom(): Promise<{ readonly room: Room; readonly meter: Metered; readonly store: MemoryStore }> {
  const clock = createManualClock();
  const store = new MemoryStore();
  const meter = new Metered(store);
  const another = (options: Partial<StoreDriverOptions> = {}) =>
    new StoreDriver(meter, { plugins: everything(cron), clock, ...options });
  const driver = another();
  const faults: unknown[] = [];
  const open = (name: string, options: QueueOptions = {}): Queue => {
    const queue = new Queue(name, driver, { clock, random: () => 0.5, ...options }) as unknown as Queue;
    queue.on("error", ({ error }) => void faults.push(error));
    return queue;
  };
  const queue = open("mail");
  const room: Room = {
    clock,
    driver,
    queue,
    faults,
    open,
    another,
    ends: (handler, options) => room.endsOn(queue, handler, options),
    endsOn: async (queue, handler, options = {}, more) => {
      const { maxAttempts = 2 } = options;
      let runs = 0;
      queue.on("job:odd", (payload, ctx) => {
        if (++runs > maxAttempts + SPARE_RUNS) return new Promise(() => {});
        return handler(payload, ctx);
      });
      const id = await queue.addJob("odd", null, { maxAttempts, backoff: "1s", ...options });
      await drain(queue, { clock });
      if (runs > maxAttempts) throw new Error(`It ran ${runs} times.`);
      const job = await queue.get(id);
      const end = ended(job as JobRecord | undefined, runs);
      return job && more ? `${end} ${said(more(job as JobRecord))}` : end;
    },
  };
  return { room, meter, store };
}

/** Before what is expected of an input that is taken amiss as yet: its row fails, and says so when it does no longer. */
const FAULT = "fault, expected: ";

type Run = (room: Room) => Promise<string> | string;

export interface Row {
  /** @param came what came of it, as `outcome` or `ended` says it. */
  (input: string, came: string, run: Run): void;
  /** The observed outcome is a fault: `came` is the expected one. */
  fails(input: string, came: string, run: Run): void;
}

/** Attacks of one letter: an input a row, each in a room of its own, with what came of it. */
export function attacks(letter: string, define: (row: Row) => void): void {
  describe(`attacks ${letter}`, () => {
    const test = (came: string, run: Run) => async () => {
      const strays: unknown[] = [];
      const hear = (reason: unknown) => void strays.push(reason);
      process.on("unhandledRejection", hear);
      const { room, meter, store } = await makeRoom();
      try {
        const late = new Promise<never>((_, reject) =>
          setTimeout(() => reject(new Error(`It took more than ${ROW_MS} ms.`)), ROW_MS).unref(),
        );
        const got = await Promise.race([run(room), meter.endless, late]);
        expect(got).toBe(came);
        expect(await store.transact(checkInvariants)).toEqual([]);
        const { waiting, delayed, active, completed, failed, cancelled } = await room.queue.counts();
        const { jobs } = await room.queue.list({ limit: 1_000 });
        expect(waiting + delayed + active + completed + failed + cancelled).toBe(jobs.length);
      } finally {
        await store.close();
        // Rejections that nobody handled are told of after the turn.
        await new Promise((resolve) => setImmediate(resolve));
        process.off("unhandledRejection", hear);
      }
      expect(strays).toEqual([]);
    };
    const plain = (input: string, came: string, run: Run) =>
      came.startsWith(FAULT) ? row.fails(input, came.slice(FAULT.length), run) : void it(input, test(came, run));
    const row: Row = Object.assign(plain, {
      fails: (input: string, came: string, run: Run) => void it.fails(input, test(came, run)),
    });
    define(row);
  });
}
