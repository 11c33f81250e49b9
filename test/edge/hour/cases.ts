import { JobWorker } from "@quayside/core/engine";
import { type HourCase, HourObject, type HourWorld, MINUTE_MS } from "./hour.ts";

const email = { name: "email", payload: null } as const;
const hundred = <T>(job: T): readonly T[] => Array.from({ length: 100 }, () => job);

/** The rows of the second table of docs/cost.md. */
export const HOUR_CASES: Readonly<Record<string, HourCase>> = {
  "idle: the last job has run": {
    async prepare(world) {
      const object = new HourObject(world, "handlers");
      await object.queue.addJob("email", null);
      return object;
    },
  },
  "paused; 100 jobs are due": {
    async prepare(world) {
      const object = new HourObject(world, "handlers");
      await object.queue.pause();
      await object.queue.addJobs(hundred(email));
      return object;
    },
  },
  "100 jobs are due, their name has no handler": {
    async prepare(world) {
      const object = new HourObject(world, "handlers");
      await object.queue.addJobs(hundred({ ...email, name: "fax" }));
      return object;
    },
  },
  "100 jobs are due, `handlers: {}`": {
    async prepare(world) {
      const object = new HourObject(world, "handlerless");
      await object.queue.addJobs(hundred(email));
      return object;
    },
  },
  "100 jobs are due, no `handlers`, no worker elsewhere": {
    async prepare(world) {
      const object = new HourObject(world, "elsewhere");
      await object.queue.addJobs(hundred(email));
      return object;
    },
  },
  "a full group: one job runs in the object for over an hour, 100 wait": {
    slow: true,
    async prepare(world) {
      const object = new HourObject(world, "handlers");
      await object.queue.addJob("long", 120 * MINUTE_MS, { group: { key: "g" } });
      await object.queue.addJobs(hundred({ ...email, group: { key: "g" } }));
      return object;
    },
  },
  "a full group: one job runs elsewhere for over an hour, 100 wait": {
    minutes: 10,
    async prepare(world) {
      const object = new HourObject(world, "handlers");
      await object.queue.addJob("fax", null, { group: { key: "g" } });
      await hold(object, "fax");
      await object.queue.addJobs(hundred({ ...email, group: { key: "g" } }));
      return object;
    },
  },
  "an empty rate limit of 10 jobs per hour; 100 jobs are due": {
    async prepare(world) {
      const object = new HourObject(world, "handlers");
      await object.queue.configure({ rateLimit: { max: 10, per: "1h" } });
      await object.queue.addJobs(hundred(email));
      return object;
    },
  },
  "a recurrence every second": {
    minutes: 1,
    async prepare(world) {
      const object = await kept(world);
      await object.queue.schedule("beat", { every: "1s", name: "email", payload: null });
      return object;
    },
  },
  "a recurrence every minute": {
    minutes: 10,
    async prepare(world) {
      const object = await kept(world);
      await object.queue.schedule("beat", { every: "1m", name: "email", payload: null });
      return object;
    },
  },
  "a job fails: 3 attempts, 1 s and 2 s apart": {
    async prepare(world) {
      const object = new HourObject(world, "handlers");
      await object.queue.addJob("failing", null, { backoff: { kind: "exponential", delay: "1s" } });
      return object;
    },
  },
  "a job fails every 10 s": {
    minutes: 10,
    async prepare(world) {
      const object = new HourObject(world, "handlers");
      await object.queue.addJob("failing", null, { maxAttempts: 1_000, backoff: "10s" });
      return object;
    },
  },
  "100 jobs are due, and each exchange of the object's worker fails": {
    async prepare(world) {
      const object = new HourObject(world, "handlers");
      await object.queue.addJob("email", null);
      await object.stub.act("refuseLeases");
      await object.queue.addJobs(hundred(email));
      // It has failed three times before the hour begins.
      await object.spend(MINUTE_MS);
      return object;
    },
  },
  "a stream of changes is open": {
    async prepare(world) {
      const object = new HourObject(world, "handlers");
      await object.queue.addJob("email", null, { delay: "1d" });
      await object.listen();
      return object;
    },
  },
  "a stream of changes is open, the queue is embedded": {
    minutes: 10,
    async prepare(world) {
      const object = new HourObject(world, "handlers", "shop");
      await object.queue.addJob("email", null, { delay: "1d" });
      const stream = await object.stub.queues("events");
      // It ends with the object.
      stream.pipeTo(new WritableStream()).catch(() => {});
      return object;
    },
  },
  "a worker elsewhere waits for jobs": {
    async prepare(world) {
      const object = new HourObject(world, "elsewhere");
      const worker = new JobWorker(object.driver, {
        queues: [{ name: "mail", run: async () => {} } as never],
        clock: object.timeline.clock("caller"),
      });
      await object.queue.addJob("email", null, { delay: "1d" });
      await worker.start();
      return object;
    },
  },
  "a worker elsewhere runs one job for over an hour": {
    minutes: 10,
    async prepare(world) {
      const object = new HourObject(world, "elsewhere");
      await object.queue.addJob("email", null);
      await hold(object, "email");
      return object;
    },
  },
  "`deleteAll()`; 100 jobs were delayed": {
    async prepare(world) {
      const object = new HourObject(world, "handlers");
      await object.queue.addJobs(hundred({ ...email, delay: "5m" as const }));
      await object.stub.act("deleteAll");
      return object;
    },
  },
  "`deleteAll()` in the alarm of a class that embeds the queue": {
    async prepare(world) {
      const object = new HourObject(world, "handlers", "shop");
      await object.queue.addJobs(hundred({ ...email, delay: "5m" as const }));
      await object.stub.endAt(object.timeline.now + MINUTE_MS);
      return object;
    },
  },
};

/** An object that has as many completed jobs as it keeps by default: each further one takes the place of one. */
async function kept(world: HourWorld): Promise<HourObject> {
  const object = new HourObject(world, "handlers");
  await object.queue.addJobs(hundred(email));
  await object.spend(MINUTE_MS);
  return object;
}

/** Has a worker elsewhere claim the job, and renew its lease every ten seconds. */
async function hold(object: HourObject, name: string): Promise<void> {
  const { driver, timeline } = object;
  const round = { worker: "remote", liveness: "time", leaseMs: 30_000, settle: [] } as const;
  const queues = [{ queue: "mail", names: [name] }];
  const { jobs } = await driver.exchange({ ...round, exchange: 1, running: [], claim: { limit: 1, queues } });
  const running = jobs.map(({ token }) => token);
  const clock = timeline.clock("caller");
  let exchange = 1;
  const renew = async () => {
    clock.after(10_000, renew);
    const { lost } = await driver.exchange({
      ...round,
      exchange: ++exchange,
      running,
      claim: { limit: 0, queues: [] },
    });
    if (lost.length > 0 || running.length !== 1) throw new Error("The job is not held any more.");
  };
  clock.after(10_000, renew);
}
