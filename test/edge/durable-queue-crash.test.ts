import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { edgeQueue, queueStub, StubDriver } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { jobs, ran } from "./queues.ts";

afterEach(reset);

const open = (name: string) => ({
  queue: edgeQueue<typeof jobs>(env.WORK_QUEUE, name, { jobs }),
  object: env.WORK_QUEUE.getByName(name),
});

/** Ends the object as a crash does: what is not on disk is lost. */
async function crash(object: DurableObjectStub): Promise<void> {
  await runInDurableObject(object, (_, state) => state.abort("crash")).catch(() => {});
}

describe("when a queue's object dies", () => {
  it("R10: the job that it ran is found interrupted and runs again, at once and not after its lease", async () => {
    const { queue, object } = open("crash");
    const id = await queue.addJob("sleep", { ms: 60_000 });
    await vi.waitFor(async () => expect((await queue.get(id))?.state).toBe("active"));
    await crash(object);
    await vi.waitFor(
      async () => expect(await queue.get(id)).toMatchObject({ state: "active", attempts: 1, interruptions: 1 }),
      { timeout: 10_000 },
    );
    await queue.cancel(id);
  });

  it("jobs whose add was answered are still there, and run", async () => {
    const { queue, object } = open("answered");
    const ids = await queue.addJobs(
      Array.from({ length: 50 }, () => ({ name: "email" as const, payload: { to: "ada@example.com" }, delay: 500 })),
    );
    await crash(object);
    await vi.waitFor(async () => expect((await queue.counts()).completed).toBe(ids.length), { timeout: 10_000 });
  });

  it("R10: a claim is on disk before its first handler starts", async () => {
    const { queue, object } = open("sync");
    await queue.counts();
    await runInDurableObject(object, (_, { storage }) => {
      const sync = storage.sync.bind(storage);
      storage.sync = async () => {
        await sync();
        ran.push("synced");
      };
    });
    ran.length = 0;
    await queue.addJob("email", { to: "ada@example.com" });
    await vi.waitFor(() => expect(ran).toEqual(["synced", "ada@example.com"]));
  });

  it("R10: a job that had ended is no interruption, although the lease on disk still lists it", async () => {
    const { queue, object } = open("ended");
    const group = { key: "one at a time", limit: 1 };
    const one = { name: "email", payload: { to: "ada@example.com" }, group } as const;
    const first = await queue.addJobs([one, { name: "flaky", payload: { failures: 1 }, backoff: "1h" }]);
    await vi.waitFor(async () => expect(await queue.counts()).toMatchObject({ completed: 1, delayed: 1, active: 0 }));
    const listed = await runInDurableObject(object, (_, { storage }) =>
      storage.sql.exec<{ record: string }>("SELECT record FROM quayside_leases").toArray(),
    );
    expect(listed.map(({ record }) => (JSON.parse(record) as { held: object[] }).held.length)).toEqual([2]);
    await crash(object);
    const [next] = await queue.addJobs([one]);
    await vi.waitFor(async () => expect(await queue.counts()).toMatchObject({ completed: 2, delayed: 1, active: 0 }));
    for (const id of [...first, next as string])
      expect(await queue.get(id)).toMatchObject({ attempts: 1, interruptions: 0 });
    // The stub died with the object.
    const leases = await runInDurableObject(open("ended").object, (_, { storage }) =>
      storage.sql.exec("SELECT worker FROM quayside_leases").toArray(),
    );
    expect(leases).toHaveLength(1);
  });

  it("a worker elsewhere does not die with it, whatever it says of itself", async () => {
    const driver = new StubDriver(() => queueStub(env.BARE_QUEUE, "elsewhere"));
    await driver.enqueue([{ queue: "mail", name: "email", payload: "1" }]);
    const look = (worker: string, limit: number) =>
      driver.exchange({
        worker,
        liveness: "process",
        leaseMs: 30_000,
        exchange: 1,
        settle: [],
        running: [],
        claim: { limit, queues: [{ queue: "mail" }] },
      });
    const { jobs: claimed } = await look("one", 1);
    await look("two", 0);
    await look("three", 0);
    expect(await driver.get("mail", claimed[0]?.job.id ?? "")).toMatchObject({ state: "active", interruptions: 0 });
  });
});
