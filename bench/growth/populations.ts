import { type LeaseRecord, put, scan } from "@quayside/core/engine";
import { failed, job, LATER_MS, QUEUE, range, type Scene } from "./scene.ts";

/** Records that lie beside the work of a verb. */
export interface Population {
  /** Name in the table. */
  readonly name: string;
  /** One of them, for "1 per …". */
  readonly one: string;
  /** Puts `count` of them into a new scene. */
  readonly fill: (scene: Scene, count: number) => Promise<void>;
  /** Whether a worker of the queue can claim from it, so that no exchange with the queue is idle. */
  readonly claimable?: true;
}

export const POPULATIONS: readonly Population[] = [
  {
    name: "waiting",
    one: "waiting job",
    claimable: true,
    fill: async (scene, count) => void (await scene.add(range(count).map(() => job()))),
  },
  {
    name: "delayed",
    one: "delayed job",
    fill: async (scene, count) => void (await scene.add(range(count).map((n) => job({ delayMs: LATER_MS + n })))),
  },
  {
    name: "running",
    one: "running job",
    async fill(scene, count) {
      await scene.add(range(count).map(() => job()));
      for (const worker of range(10)) await scene.claim(`runner-${worker}`, count / 10);
    },
  },
  {
    name: "failed, kept",
    one: "failed job",
    async fill(scene, count) {
      await scene.add(range(count).map(() => job()));
      for (let left = count; left > 0; ) {
        const tokens = await scene.claim("failing", 10_000);
        await scene.exchange("failing", { settle: tokens.map(failed) });
        left -= tokens.length;
      }
      await scene.exchange("failing", { leave: true });
    },
  },
  {
    name: "groups",
    one: "group",
    claimable: true,
    fill: async (scene, count) =>
      void (await scene.add(range(count).map((n) => job({ group: { key: `group ${n}`, limit: 2 } })))),
  },
  {
    name: "one full group",
    one: "blocked job",
    async fill(scene, count) {
      await scene.add([job({ group: { key: "full" } })]);
      await scene.claim("grouped", 1);
      await scene.add(range(count).map(() => job({ group: { key: "full" } })));
    },
  },
  {
    name: "dedupe keys",
    one: "key",
    async fill(scene, count) {
      const dedupe = (n: number) => ({ key: `key ${n}`, mode: "throttle" as const, ttlMs: LATER_MS });
      await scene.add(range(count).map((n) => job({ dedupe: dedupe(n), keep: { cancelled: 0 } })));
      await scene.command({ type: "clear", queue: QUEUE, state: "waiting" });
    },
  },
  {
    name: "queues",
    one: "queue",
    fill: async (scene, count) => void (await scene.add(range(count).map((n) => job({ queue: `queue ${n}` })))),
  },
  {
    name: "queues of the worker",
    one: "queue",
    async fill(scene, count) {
      const names = range(count).map((n) => `queue ${n}`);
      scene.worked.push(...names);
      await scene.add(names.map((queue) => job({ queue, delayMs: LATER_MS })));
    },
  },
  {
    name: "workers",
    one: "worker",
    async fill(scene, count) {
      await scene.add(range(count).map(() => job()));
      await scene.claim("worker", 1);
      await scene.store.uncounted(function* () {
        const [lease] = (yield* scan("leases", { from: [""], to: ["\u007f"] }, 1)) as [LeaseRecord];
        const jobs = yield* scan("jobs", { from: ["ready"], to: ["readz"] }, count);
        const [held] = lease.held;
        if (!held) throw new Error("The worker claimed no job.");
        yield* put(
          "leases",
          jobs
            .filter(({ id }) => id !== held.id)
            .map(({ key, id }, n): LeaseRecord => ({ ...lease, key: [`worker-${n}`], held: [{ ...held, key, id }] })),
        );
      });
    },
  },
  {
    name: "idle workers",
    one: "idle worker",
    async fill(scene, count) {
      for (const _ of range(count)) await scene.startIdle();
    },
  },
  {
    name: "recurrences",
    one: "recurrence",
    async fill(scene, count) {
      for (const n of range(count)) {
        const rule = { kind: "every" as const, everyMs: LATER_MS + n };
        await scene.command({ type: "schedule", queue: QUEUE, key: `key ${n}`, rule, job: job() });
      }
    },
  },
  {
    name: "waiters",
    one: "waiter",
    claimable: true,
    async fill(scene, count) {
      const ids = await scene.add(range(count).map(() => job()));
      for (const id of ids) scene.queue.waitFor(id).catch(() => {});
      await scene.settled();
    },
  },
];
