import { DEFAULTS } from "@quayside/core";
import { KEEP_NONE, NOTHING, newJob, type Scene, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Every way in which the only job of the queue can end. `traceless`: the way deletes the job, whatever `keep` says. */
const CAUSES: readonly {
  readonly cause: string;
  readonly state: "completed" | "failed" | "cancelled";
  readonly traceless?: true | undefined;
  readonly end: (scene: Scene, id: string) => Promise<void>;
}[] = [
  {
    cause: "completing",
    state: "completed",
    end: ({ worker }) => work(worker(), (one, held) => one.complete(held, "1")),
  },
  { cause: "failing for good", state: "failed", end: ({ worker }) => work(worker(), (one, held) => one.fail(held)) },
  {
    cause: "failing after a retry",
    state: "failed",
    end: async ({ worker }) => {
      await work(worker(), (one, held) => one.retry(held, 0));
      await work(worker(), (one, held) => one.fail(held));
    },
  },
  {
    cause: "expiry",
    state: "failed",
    end: async ({ advance, worker }) => {
      await advance(86_400_001);
      await worker().claim(1);
    },
  },
  {
    cause: "a cancel while it waits",
    state: "cancelled",
    end: async ({ command }, id) => void (await command("cancel", id)),
  },
  {
    cause: "a cancel while it runs",
    state: "cancelled",
    end: async ({ command, worker }, id) => {
      await work(worker(), async (one, held) => {
        await command("cancel", id);
        await one.stopped(held);
      });
    },
  },
  {
    cause: "a cancel, when its worker dies",
    state: "cancelled",
    end: async ({ advance, command, worker }, id) => {
      await worker().take(1);
      await command("cancel", id);
      const rescuer = worker();
      await rescuer.look();
      await advance(rescuer.leaseMs + 1);
      await rescuer.look();
    },
  },
  {
    cause: "too many interruptions",
    state: "failed",
    end: async ({ interrupt, untilDue, worker }, id) => {
      const rescuer = worker();
      for (let n = 1; n < DEFAULTS.maxInterruptions; n++) {
        await interrupt(rescuer);
        await untilDue(id);
      }
      await interrupt(rescuer);
    },
  },
  {
    cause: "a removal while it waits",
    state: "cancelled",
    traceless: true,
    end: async ({ command }, id) => void (await command("remove", id)),
  },
  {
    cause: "a removal while it runs",
    state: "cancelled",
    traceless: true,
    end: async ({ command, worker }, id) => {
      await work(worker(), async (one, held) => {
        await command("remove", id);
        await one.stopped(held);
      });
    },
  },
  {
    cause: "a removal after its end",
    state: "completed",
    traceless: true,
    end: async ({ command, worker }, id) => {
      await work(worker(), (one, held) => one.complete(held));
      await command("remove", id);
    },
  },
  {
    cause: "a clear while it waits",
    state: "cancelled",
    traceless: true,
    end: async ({ driver }) => void (await driver.command({ type: "clear", queue: QUEUE })),
  },
  {
    cause: "a clear while it runs",
    state: "cancelled",
    traceless: true,
    end: async ({ driver, worker }) => {
      await work(worker(), async (one, held) => {
        await driver.command({ type: "clear", queue: QUEUE });
        await one.stopped(held);
      });
    },
  },
  {
    cause: "a clear after its end",
    state: "failed",
    traceless: true,
    end: async ({ driver, worker }) => {
      await work(worker(), (one, held) => one.fail(held));
      await driver.command({ type: "clear", queue: QUEUE, state: "failed" });
    },
  },
  {
    cause: "being pruned",
    state: "completed",
    traceless: true,
    end: async ({ advance, add, driver, worker }) => {
      await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 1 } });
      await work(worker(), (one, held) => one.complete(held));
      await advance(1);
      const [next] = await add({});
      await work(worker(), (one, held) => one.complete(held));
      await driver.command({ type: "remove", queue: QUEUE, id: next });
    },
  },
];

type Worker = ReturnType<Scene["worker"]>;
async function work(
  one: Worker,
  settle: (one: Worker, held: Awaited<ReturnType<Worker["take"]>>[0]) => Promise<unknown>,
): Promise<void> {
  const [held] = await one.take(1);
  await settle(one, held);
}

const A_DAY = { expiresInMs: 86_400_000 };

export const endCases = verb("end", (it, needs) => {
  for (const { cause, state, traceless, end } of CAUSES) {
    needs("admin", "expiry", "inspect");
    it(`R1: ${cause} leaves nothing of a plain job of which nothing is to be kept`, async (scene) => {
      await scene.driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
      const [id] = await scene.add(A_DAY);
      await end(scene, id);
      await expectNothing(scene, id);
    });

    needs("admin", "dedupe", "expiry", "inspect");
    it(`R1: ${cause} leaves no entry of a job with its own id and a dedupe key`, async (scene) => {
      await scene.driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
      const job = newJob({
        ...A_DAY,
        id: "own",
        dedupe: { key: "k", mode: "drop" },
      });
      await scene.driver.enqueue([job]);
      await end(scene, "own");
      await expectNothing(scene, "own");
      scene.expect(await scene.driver.enqueue([job])).toEqual([{ id: "own", deduplicated: false }]);
    });

    if (traceless) continue;
    needs("dedupe", "expiry");
    it(`R1: ${cause} frees the dedupe key of a job that is kept`, async (scene) => {
      const { counts, driver, expect, job, records } = scene;
      const own = newJob({ ...A_DAY, id: "own", dedupe: { key: "k", mode: "drop" } });
      await driver.enqueue([own]);
      await end(scene, "own");
      expect((await job("own")).state).toBe(state);
      expect(await counts()).toEqual({ ...NOTHING, [state]: 1 });
      expect((await records())?.leases.flatMap(({ held }) => held) ?? []).toEqual([]);
      expect((await records())?.dedupe ?? []).toEqual([]);
      expect(await driver.enqueue([newJob({ id: "next", dedupe: { key: "k", mode: "drop" } })])).toEqual([
        { id: "next", deduplicated: false },
      ]);
    });
  }
});

async function expectNothing({ counts, driver, expect, records }: Scene, id: string): Promise<void> {
  expect(await driver.get(QUEUE, id)).toBeUndefined();
  expect(await counts()).toEqual({ ...NOTHING });
  expect((await driver.list({ queue: QUEUE })).jobs).toEqual([]);
  const found = await records();
  if (!found) return;
  expect(found.jobs).toEqual([]);
  expect(found.ids).toEqual([]);
  expect(found.dedupe).toEqual([]);
  expect(found.leases.flatMap(({ held }) => held)).toEqual([]);
}
