import { everything, type HandlerContext, Queue, QueueWorker } from "@quayside/core";
import { JobWorker, MemoryStore, StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it, onTestFinished } from "vitest";

const WORKERS = 64;

type Exchange = StoreDriver["exchange"];

/** Idle workers of one driver, and the number of their exchanges since they became idle. */
async function idle({
  count = WORKERS,
  concurrency = 1,
  names = () => ["email"],
}: {
  readonly count?: number;
  readonly concurrency?: number;
  readonly names?: (index: number) => readonly string[];
} = {}) {
  const clock = createManualClock();
  const store = new MemoryStore();
  const driver = new StoreDriver(store, { plugins: everything(), clock });
  const seen = { exchanges: 0, ran: [] as string[] };
  const exchange: Exchange = driver.exchange.bind(driver);
  let intercept: (request: Parameters<Exchange>[0]) => ReturnType<Exchange> = exchange;
  driver.exchange = (request) => {
    seen.exchanges++;
    return intercept(request);
  };
  const held: (() => void)[] = [];
  let holds = false;
  const workers = Array.from({ length: count }, (_, index) => {
    const queue = new Queue("mail", driver, { clock });
    for (const name of names(index))
      queue.on(`job:${name}`, (_, { job }) => {
        seen.ran.push(job.name);
        return holds ? new Promise<void>((resolve) => held.push(resolve)) : undefined;
      });
    return new QueueWorker(queue, { concurrency });
  });
  onTestFinished(async () => {
    for (const release of held) release();
    await Promise.all(workers.map((worker) => worker.stop()));
  });
  for (const worker of workers) await worker.start();
  await clock.advance(10);
  seen.exchanges = 0;
  return {
    clock,
    driver,
    seen,
    workers,
    /** Handlers do not return before the end of the test. */
    hold: () => {
      holds = true;
    },
    /** Adds jobs of these names, in one call. */
    async add(...jobs: readonly string[]) {
      await driver.enqueue(jobs.map((name) => ({ queue: "mail", name, payload: "0" })));
      await clock.advance(10);
    },
    answer(by: (request: Parameters<Exchange>[0], exchange: Exchange) => ReturnType<Exchange>) {
      intercept = (request) => by(request, exchange);
    },
  };
}

describe("R42: an add of jobs wakes as many idle workers as there are jobs", () => {
  it("one of 64 for one job: its claim and its settlement are all exchanges", async () => {
    const { add, seen } = await idle();
    await add("email");
    expect(seen.ran).toHaveLength(1);
    expect(seen.exchanges).toBe(2);
  });

  it.each([
    { concurrency: 1, jobs: 3, exchanges: 6 },
    { concurrency: 5, jobs: 10, exchanges: 4 },
    { concurrency: 1, jobs: 64, exchanges: 128 },
  ])("$jobs jobs, $concurrency at a time", async ({ concurrency, jobs, exchanges }) => {
    const { add, seen } = await idle({ concurrency });
    await add(...Array.from({ length: jobs }, () => "email"));
    expect(seen.ran).toHaveLength(jobs);
    expect(seen.exchanges).toBeLessThanOrEqual(exchanges);
  });

  it("and a worker that is busy accepts none", async () => {
    const { add, hold, seen } = await idle({ count: 3 });
    hold();
    for (let round = 1; round <= 3; round++) {
      await add("email");
      expect(seen.ran).toHaveLength(round);
    }
    expect(seen.exchanges).toBe(3);
  });
});

describe("R42: a job that the woken worker cannot run is claimed by another at once", () => {
  it("whose name it has no handler for", async () => {
    const { add, seen } = await idle({ count: 8, names: (index) => (index === 5 ? ["email", "report"] : ["email"]) });
    await add("report");
    expect(seen.ran).toEqual(["report"]);
  });

  it("if its exchange fails", async () => {
    const { add, answer, clock, seen } = await idle({ count: 8 });
    let failing: string | undefined;
    answer(async (request, exchange) => {
      failing ??= request.worker;
      if (request.worker === failing) throw new Error("offline");
      return exchange(request);
    });
    await add("email");
    await clock.advance(1_000);
    expect(seen.ran).toHaveLength(1);
  });

  it("if its exchange is not answered", async () => {
    const { add, answer, clock, seen } = await idle({ count: 8 });
    let silent: string | undefined;
    let end = () => {};
    answer((request, exchange) => {
      silent ??= request.worker;
      return request.worker === silent
        ? new Promise((_, reject) => {
            end = () => reject(new Error("offline"));
          })
        : exchange(request);
    });
    await add("email");
    await clock.advance(1_000);
    expect(seen.ran).toHaveLength(1);
    answer((request, exchange) => exchange(request));
    end();
  });

  it("if it is stopped first", async () => {
    const { clock, driver, seen, workers } = await idle({ count: 8 });
    const stopping: Promise<void>[] = [];
    driver.watch(({ kind }) => {
      if (kind === "ready" && stopping.length === 0)
        for (const worker of workers.slice(0, 7)) stopping.push(worker.stop());
    });
    await driver.enqueue([{ queue: "mail", name: "email", payload: "0" }]);
    await clock.advance(10);
    await Promise.all(stopping);
    expect(seen.ran).toHaveLength(1);
  });

  it("if another process has claimed it: the others look as before", async () => {
    const { add, answer, seen } = await idle({ count: 8 });
    let first = true;
    answer(async (request, exchange) => {
      if (!first) return exchange(request);
      first = false;
      return { exchange: request.exchange, jobs: [], lost: [], cancel: [], interrupted: [], unknown: [] };
    });
    await add("email");
    expect(seen.ran).toHaveLength(1);
  });
});

/** Workers of one driver that run one job at a time, whose handlers do not return; and the runs, as "worker:queue". */
async function workersOf(queuesOf: Readonly<Record<string, readonly string[]>>) {
  const clock = createManualClock();
  const driver = new StoreDriver(new MemoryStore(), { plugins: everything(), clock });
  const ran: string[] = [];
  for (const [label, names] of Object.entries(queuesOf)) {
    const queues = names.map((name) => ({
      name,
      run: (_: object, { signal }: HandlerContext) => {
        ran.push(`${label}:${name}`);
        return new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      },
    }));
    const worker = new JobWorker(driver, { clock, concurrency: 1, queues });
    onTestFinished(() => worker.stop({ timeout: 0 }));
    await worker.start();
  }
  await clock.advance(10);
  return { clock, driver, ran };
}

const jobIn = (queue: string) => [{ queue, name: "email", payload: "0" }];

describe("R42: of jobs in two queues, one woken worker can run only one", () => {
  it("the other job is claimed by another worker at once", async () => {
    const { clock, driver, ran } = await workersOf({ both: ["a", "b"], one: ["b"] });
    await Promise.all([driver.enqueue(jobIn("b")), driver.enqueue(jobIn("a"))]);
    await clock.advance(10);
    expect(ran.sort()).toEqual(["both:a", "one:b"]);
  });

  it("also if both are added in one call", async () => {
    const { clock, driver, ran } = await workersOf({ both: ["a", "b"], one: ["b"] });
    await driver.enqueue([...jobIn("b"), ...jobIn("a")]);
    await clock.advance(10);
    expect(ran.sort()).toEqual(["both:a", "one:b"]);
  });
});

it("R42: an add with a delay wakes every idle worker, which sets its timer", async () => {
  const { clock, driver, seen } = await idle({ count: 8 });
  await driver.enqueue([{ queue: "mail", name: "email", payload: "0", delayMs: 1_000 }]);
  await clock.advance(10);
  expect(seen.exchanges).toBe(8);
});
