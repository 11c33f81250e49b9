import { type Scene, verb } from "./support.ts";
import { QUEUE, type Round, type TestWorker } from "./test-worker.ts";

const jobs = (count: number, job: object = {}): object[] => Array.from({ length: count }, () => job);

async function ids(worker: TestWorker, round: Round): Promise<readonly string[]> {
  return (await worker.exchange(round)).jobs.map(({ job }) => job.id);
}

const configure = ({ driver }: Pick<Scene, "driver">, limits: { maxActive: number } | { rateLimit: PerDay }) =>
  driver.command({ type: "configure", queue: QUEUE, ...limits });

interface PerDay {
  readonly max: number;
  readonly perMs: 86_400_000;
}

const perDay = (max: number): { rateLimit: PerDay } => ({ rateLimit: { max, perMs: 86_400_000 } });

/** Test cases about the jobs that a worker may hold beyond its free slots. */
export const prefetchCases = verb("prefetch", (it, needs) => {
  it("R18: beyond what can start, a claim takes jobs that nothing limits, and no more than it is told", async ({
    add,
    counts,
    expect,
    worker,
  }) => {
    await add(...jobs(9));
    const one = worker();
    expect(await ids(one, { limit: 5, prefetch: 3 })).toHaveLength(5);
    expect(await ids(one, { limit: 2, prefetch: 2 })).toHaveLength(2);
    expect(await counts()).toMatchObject({ active: 7, waiting: 2 });
  });

  needs("groups");
  it("R18: a job of a group is not taken ahead, nor what stands behind it; it is the next to start", async ({
    add,
    expect,
    worker,
  }) => {
    const [first, grouped, last, other] = await add({}, { group: { key: "g" } }, {}, { queue: "other" });
    const one = worker();
    const queues = [QUEUE, "other"];
    expect(await ids(one, { limit: 4, prefetch: 3, queues })).toEqual([first]);
    expect(await ids(one, { limit: 3, prefetch: 3, queues })).toEqual([]);
    expect(await ids(one, { limit: 3, prefetch: 2, queues })).toEqual([grouped, last, other]);
  });

  it("R16: a full group holds up nothing that is taken ahead", async ({ add, expect, worker }) => {
    const [held, , plain] = await add({ group: { key: "g" } }, { group: { key: "g" } }, {});
    const one = worker();
    expect(await one.claimIds(1)).toEqual([held]);
    expect(await ids(one, { limit: 2, prefetch: 2 })).toEqual([plain]);
  });

  needs("rateLimit");
  it("R18: a queue with a rate limit gives nothing ahead, nor does one behind it while one of its jobs could start", async (scene) => {
    const { add, expect, worker } = scene;
    await configure(scene, perDay(4));
    await add(...jobs(9), { queue: "other" });
    const one = worker();
    const queues = [QUEUE, "other"];
    expect(await ids(one, { limit: 5, prefetch: 3, queues })).toHaveLength(2);
    expect(await ids(one, { limit: 3, prefetch: 3, queues })).toEqual([]);
    // Jobs that were not claimed used no token.
    expect(await one.claim(9)).toHaveLength(2);
  });

  it("R18: a queue with a rate limit of which nothing can start holds up nothing that is taken ahead", async (scene) => {
    const { add, expect, worker } = scene;
    await configure(scene, perDay(1));
    const one = worker();
    const queues = [QUEUE, "other"];
    const [a] = await add({ queue: "other" });
    expect(await ids(one, { limit: 2, prefetch: 2, queues })).toEqual([a]);
    await add({}, {});
    await one.take(1);
    const [b] = await add({ queue: "other" });
    expect(await ids(one, { limit: 2, prefetch: 2, queues })).toEqual([b]);
  });

  needs("maxActive");
  it("R18: a queue with a limit on its active jobs gives nothing ahead", async (scene) => {
    const { add, expect, worker } = scene;
    await configure(scene, { maxActive: 7 });
    await add(...jobs(9), { queue: "other" });
    expect(await ids(worker(), { limit: 5, prefetch: 3, queues: [QUEUE, "other"] })).toHaveLength(2);
  });

  needs();
  it("R18: a queue of which the worker runs a limited number gives nothing ahead", async ({ add, expect, worker }) => {
    await add(...jobs(9), { queue: "other" });
    const queues = [{ queue: QUEUE, limit: 7 }, "other"];
    expect(await ids(worker(), { limit: 5, prefetch: 3, queues })).toHaveLength(2);
  });

  it("R10: a job that must be alone is not taken ahead", async ({ add, expect, interrupt, untilDue, worker }) => {
    const [suspect] = await add({});
    const rescuer = worker();
    for (let n = 0; n < 2; n++) {
      await interrupt(rescuer);
      await untilDue(suspect);
    }
    expect(await ids(rescuer, { limit: 2, prefetch: 2 })).toEqual([]);
    expect(await ids(rescuer, { limit: 2, prefetch: 1 })).toEqual([suspect]);
  });

  needs();
  for (const maxInterruptions of [1, 2])
    it(`R10: a job that ${maxInterruptions} interruptions end is not taken ahead: after a crash nobody could tell whether it had started`, async ({
      add,
      expect,
      worker,
    }) => {
      const ids = await add({}, { maxInterruptions }, { maxInterruptions }, {});
      const one = worker();
      const claim = async (limit: number, prefetch: number) =>
        (await one.exchange({ limit, prefetch })).jobs.map(({ job }) => job.id);
      expect(await claim(4, 3)).toEqual(ids.slice(0, 1));
      expect(await claim(3, 3)).toEqual([]);
      expect(await claim(3, 1)).toEqual(ids.slice(1));
    });

  needs();
  it("R9: a repeat of an exchange gives the same jobs, those for later too", async ({ add, expect, worker }) => {
    await add(...jobs(5));
    const one = worker();
    const { jobs: claimed } = await one.exchange({ limit: 4, prefetch: 3 });
    const again = await one.repeat();
    expect(new Set(again.jobs.map(({ token }) => token))).toEqual(new Set(claimed.map(({ token }) => token)));
    expect(claimed).toHaveLength(4);
  });
});
