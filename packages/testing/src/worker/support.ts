import { type Driver, type HandlerContext, Queue, type QueueOptions, type WorkerEvents } from "@quayside/core";
import { type ExchangeReply, type ExchangeRequest, JobWorker, type JobWorkerOptions } from "@quayside/core/engine";
import type { DriverUnderTest, OpenDriver, TestRunner } from "../harness.ts";
import { checkInvariants } from "../invariants.ts";

/**
 * The arguments of a case: the driver and clock of an empty store, and queues and workers that are stopped after it.
 */
export interface WorkerScene {
  readonly expect: TestRunner["expect"];
  readonly under: DriverUnderTest;
  readonly driver: Driver;
  readonly advance: (ms: number) => Promise<void>;
  readonly queue: (options?: QueueOptions<Record<string, unknown>> & { readonly driver?: Driver | undefined }) => Queue;
  readonly worker: (driver: Driver, options: Partial<JobWorkerOptions>) => JobWorker;
}

export interface WorkerCase {
  readonly name: string;
  readonly run: (scene: WorkerScene) => Promise<void>;
}

export interface WorkerTopic {
  readonly name: string;
  readonly cases: readonly WorkerCase[];
}

export function topic(
  name: string,
  define: (it: (sentence: string, run: WorkerCase["run"]) => void) => void,
): WorkerTopic {
  const cases: WorkerCase[] = [];
  define((sentence, run) => cases.push({ name: sentence, run }));
  return { name, cases };
}

export const QUEUE = "mail";

export async function runWorkerCase(
  { run }: WorkerCase,
  open: OpenDriver,
  expect: TestRunner["expect"],
): Promise<void> {
  const under = await open();
  const stops: (() => Promise<void>)[] = [];
  try {
    await run({
      expect,
      under,
      driver: under.driver,
      advance: (ms) => under.advance(ms),
      queue({ driver = under.driver, ...options } = {}) {
        const queue = new Queue(QUEUE, driver, { clock: under.clock, ...options });
        stops.push(() => queue.stop({ timeout: 0 }));
        return queue;
      },
      worker(driver, options) {
        const worker = new JobWorker(driver, { clock: under.clock, queues: [], ...options });
        stops.push(() => worker.stop({ timeout: 0 }));
        return worker;
      },
    });
    for (const stop of stops) await stop();
    if (under.transact) expect(await under.transact(checkInvariants), "violated invariants").toEqual([]);
  } finally {
    await under.close();
  }
}

/** Resolves with the next event of this name that `test` accepts. Call it before the code that causes the event. */
export function next<Name extends keyof WorkerEvents>(
  source: Pick<JobWorker, "on"> | Pick<Queue, "on">,
  name: Name,
  test: (event: WorkerEvents[Name]) => boolean = () => true,
): Promise<WorkerEvents[Name]> {
  return new Promise((resolve) => {
    const off = (source as Pick<JobWorker, "on">).on(name, (event) => {
      if (!test(event)) return;
      off();
      resolve(event);
    });
  });
}

/** Collects all events of a name. */
export function gather<Name extends keyof WorkerEvents>(
  source: Pick<JobWorker, "on"> | Pick<Queue, "on">,
  name: Name,
): WorkerEvents[Name][] {
  const events: WorkerEvents[Name][] = [];
  (source as Pick<JobWorker, "on">).on(name, (event) => events.push(event));
  return events;
}

/** A promise and the function that resolves it. */
export interface Gate<T = void> {
  readonly opened: Promise<T>;
  open(value: T): void;
}

export function gate<T = void>(): Gate<T> {
  let open: (value: T) => void = () => {};
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/**
 * Returns a handler that reports its start and ends when the case calls `finish`, or (with `heeds`) when its signal is
 * aborted.
 */
export function heldHandler({ heeds = false }: { readonly heeds?: boolean | undefined } = {}) {
  const begun = gate<HandlerContext>();
  const finish = gate<unknown>();
  const aborted = gate<{ code?: string | undefined }>();
  const run = async (_: unknown, ctx: HandlerContext) => {
    ctx.signal.addEventListener("abort", () => aborted.open(ctx.signal.reason));
    begun.open(ctx);
    if (!heeds) return finish.opened;
    return Promise.race([finish.opened, aborted.opened.then((reason) => Promise.reject(reason))]);
  };
  return { run, begun: begun.opened, aborted: aborted.opened, finish: finish.open };
}

/** Returns the driver with some verbs replaced, to count, delay or break calls. */
export function wrap(driver: Driver, verbs: Partial<Driver>): Driver {
  return {
    connectivity: driver.connectivity,
    enqueue: (jobs, request) => driver.enqueue(jobs, request),
    exchange: (request) => driver.exchange(request),
    get: (queue, id) => driver.get(queue, id),
    list: (query) => driver.list(query),
    counts: (queue) => driver.counts(queue),
    command: (command) => driver.command(command),
    schedules: (queue) => driver.schedules(queue),
    nextWake: (queues) => driver.nextWake(queues),
    watch: (listener) => driver.watch(listener),
    register: (worker) => driver.register(worker),
    onActiveChange: (session) => driver.onActiveChange(session),
    close: () => driver.close(),
    ...verbs,
  };
}

/** Records exchanges with their replies. */
export function spyOnExchanges(driver: Driver): {
  readonly driver: Driver;
  readonly seen: { request: ExchangeRequest; reply: ExchangeReply }[];
} {
  const seen: { request: ExchangeRequest; reply: ExchangeReply }[] = [];
  return {
    seen,
    driver: wrap(driver, {
      async exchange(request) {
        const reply = await driver.exchange(request);
        seen.push({ request, reply });
        return reply;
      },
    }),
  };
}
