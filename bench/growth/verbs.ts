import type { JobState } from "@quayside/core";
import type { NewJob } from "@quayside/core/engine";
import { remove, scanKeys } from "@quayside/core/engine";
import { completed, failed, IDLE, job, LATER_MS, QUEUE, range, type Scene } from "./scene.ts";

/** Prepares a call, which is not counted, and returns the call, which is. */
export type Verb = (scene: Scene) => Promise<() => Promise<unknown>>;

/** The worker that exchanges. */
export const SELF = "self";
/** Jobs of this priority are claimed before those of any population. */
const FIRST = 50;
/** Number of jobs in a call over many. */
const MANY = 100;
/** Number of jobs that one claim takes. */
const SOME = 10;

const add =
  (...jobs: Partial<NewJob>[]): Verb =>
  async (scene) =>
  () =>
    scene.add(jobs.map(job));
const addMany = (options: (n: number) => Partial<NewJob>): Verb => add(...range(MANY).map(options));

const list =
  (state?: JobState): Verb =>
  async (scene) =>
  () =>
    scene.driver.list({ queue: QUEUE, limit: 20, ...(state && { state }) });

/** Claims jobs for the worker `SELF`. */
async function running(scene: Scene, count: number): Promise<string[]> {
  await scene.add(range(count).map(() => job({ priority: FIRST })));
  return scene.claim(SELF, count);
}

const settle =
  (ends: (tokens: readonly string[]) => Parameters<Scene["exchange"]>[1], count = SOME): Verb =>
  async (scene) => {
    const tokens = await running(scene, count);
    return () => scene.exchange(SELF, ends(tokens));
  };

/** Deletes the counts of all queues, which a restarted process no longer has in memory. */
const restarted =
  (verb: Verb): Verb =>
  async (scene) => {
    const call = await verb(scene);
    await scene.store.uncounted(function* () {
      yield* remove("tallies", yield* scanKeys("tallies", { from: [""], to: ["\uffff"] }, Number.MAX_SAFE_INTEGER));
    });
    return call;
  };

const named = (type: "cancel" | "retry" | "promote" | "remove", id: string) => ({ type, queue: QUEUE, id }) as const;

/** Ends `SOME` jobs as kept ones. */
async function ended(scene: Scene, outcome: "completed" | "failed"): Promise<void> {
  const tokens = await running(scene, SOME);
  await scene.exchange(SELF, { settle: tokens.map(outcome === "completed" ? completed : failed) });
}

async function cancelled(scene: Scene, count: number): Promise<string[]> {
  const ids = await scene.add(range(count).map(() => job()));
  for (const id of ids) await scene.command(named("cancel", id));
  return ids;
}

const schedule = (key: string, everyMs: number) =>
  ({ type: "schedule", queue: QUEUE, key, rule: { kind: "every", everyMs }, job: job() }) as const;

/** The verbs of the table, in its order. */
export const VERBS: Readonly<Record<string, Verb>> = {
  "add one": add({}),
  "add one, delayed": add({ delayMs: LATER_MS }),
  "add one with a dedupe key": add({ dedupe: { key: "mine", mode: "throttle", ttlMs: LATER_MS } }),
  "add one to a group": add({ group: { key: "mine" } }),
  "add one that an idle worker runs": add({ queue: IDLE }),
  "add 100": addMany(() => ({})),
  "add 100 with own ids": addMany((n) => ({ id: `own ${n}` })),
  "claim 10": async (scene) => {
    await scene.add(range(SOME).map(() => job({ priority: FIRST })));
    return () => scene.claim(SELF, SOME, { queues: [QUEUE, ...scene.worked] });
  },
  "settle 10, completed": settle((tokens) => ({ settle: tokens.map(completed) })),
  "settle 10, failed": settle((tokens) => ({ settle: tokens.map(failed) })),
  "settle 10, failed, after a restart": restarted(settle((tokens) => ({ settle: tokens.map(failed) }))),
  "settle 10, claim 10": async (scene) => {
    const tokens = await running(scene, SOME);
    await scene.add(range(SOME).map(() => job({ priority: FIRST })));
    return () => scene.claim(SELF, SOME, { settle: tokens.map(completed), queues: [QUEUE, ...scene.worked] });
  },
  "renew 10": settle((tokens) => ({ running: tokens })),
  "release 10": settle((tokens) => ({
    settle: tokens.map((token) => ({ token, outcome: "released", delayMs: LATER_MS })),
  })),
  "get a waiting job": async (scene) => {
    const id = await scene.addOne();
    return () => scene.driver.get(QUEUE, id);
  },
  "get a running job": async (scene) => {
    const id = await scene.addOne({ priority: FIRST });
    await scene.claim(SELF, 1);
    return () => scene.driver.get(QUEUE, id);
  },
  "get an ended job": async (scene) => {
    const [id = ""] = await cancelled(scene, 1);
    return () => scene.driver.get(QUEUE, id);
  },
  "list 20 waiting": list("waiting"),
  "list 20 delayed": list("delayed"),
  "list 20 active": list("active"),
  "list 20 completed": list("completed"),
  "list 20 failed": list("failed"),
  "list 20 cancelled": list("cancelled"),
  "list 20 of all": list(),
  counts: async (scene) => {
    await scene.driver.counts(QUEUE);
    await scene.addOne();
    return () => scene.driver.counts(QUEUE);
  },
  "counts, after a restart": restarted(async (scene) => () => scene.driver.counts(QUEUE)),
  "cancel a waiting job": async (scene) => {
    const id = await scene.addOne();
    return () => scene.command(named("cancel", id));
  },
  "cancel a running job": async (scene) => {
    const id = await scene.addOne({ priority: FIRST });
    await scene.claim(SELF, 1);
    return () => scene.command(named("cancel", id));
  },
  "retry one": async (scene) => {
    const [id = ""] = await cancelled(scene, 1);
    return () => scene.command(named("retry", id));
  },
  "retry all cancelled (10)": async (scene) => {
    await scene.command({ type: "clear", queue: QUEUE, state: "cancelled" });
    await cancelled(scene, SOME);
    return () => scene.command({ type: "retryAll", queue: QUEUE, state: "cancelled" });
  },
  "pause, resume": async (scene) => async () => {
    await scene.command({ type: "pause", queue: QUEUE });
    await scene.command({ type: "resume", queue: QUEUE });
  },
  "clear 10 cancelled": async (scene) => {
    await cancelled(scene, SOME);
    return () => scene.command({ type: "clear", queue: QUEUE, state: "cancelled" });
  },
  "prune 10 failed": async (scene) => {
    await ended(scene, "failed");
    const { failed } = await scene.driver.counts(QUEUE);
    return () => scene.command({ type: "configure", queue: QUEUE, keep: { failed: failed - SOME } });
  },
  "configure the same again": async (scene) => {
    const { failed } = await scene.driver.counts(QUEUE);
    const config = { type: "configure", queue: QUEUE, keep: { failed } } as const;
    await scene.command(config);
    return () => scene.command(config);
  },
  "schedule a new key": async (scene) => () => scene.command(schedule("mine", LATER_MS)),
  "schedule the same again": async (scene) => () => scene.command(schedule("mine", LATER_MS)),
  unschedule: async (scene) => () => scene.command({ type: "unschedule", queue: QUEUE, key: "mine" }),
  "waitFor, start to end": async (scene) => {
    const id = await scene.addOne({ priority: FIRST });
    const tokens = await scene.claim(SELF, 1);
    return async () => {
      const end = scene.queue.waitFor(id);
      await scene.settled();
      await scene.exchange(SELF, { settle: tokens.map(completed) });
      await end;
    };
  },
  nextWake: async (scene) => () => scene.driver.nextWake([QUEUE, ...scene.worked]),
  "idle exchange": async (scene) => {
    if (scene.claimable) return () => scene.claim(SELF, SOME, { queues: ["quiet"] });
    const queues = [QUEUE, ...scene.worked];
    while ((await scene.claim(SELF, 1_000)).length > 0) await scene.finish(SELF);
    return () => scene.claim(SELF, SOME, { queues });
  },
};

/** Jobs that every scene has, beside its population. */
export async function furnish(scene: Scene): Promise<void> {
  await scene.claim(SELF, 0);
  await ended(scene, "completed");
  await ended(scene, "failed");
  await cancelled(scene, SOME);
  await scene.command(schedule("base", LATER_MS));
  await scene.startIdle();
  await scene.settled();
}
