import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Queue } from "@quayside/core";
import { type NewJob, storeOfId } from "@quayside/core/engine";
import { httpDriver } from "@quayside/core/http";
import { bearerTokens, queueApi, shardOfKey } from "@quayside/edge";
import { createManualClock } from "@quayside/testing";
import { afterEach, describe, expect, it } from "vitest";
import { openSharded } from "./sharded-drivers.ts";
import { closeAll, open, until } from "./shards-at-fault.ts";

afterEach(reset);

const QUEUE = "mail";
const SHARDS = 4;
let tried = 0;

/** Returns a key of this shard, a new one at each call. */
function keyIn(shard: number): string {
  for (;;) {
    const key = `key-${tried++}`;
    if (shardOfKey(key, SHARDS) === shard) return key;
  }
}

const job = (more: Partial<NewJob>): NewJob => ({ queue: QUEUE, name: "email", payload: "null", ...more });
const inShard = (id: string, shard: number) => job({ id, group: { key: keyIn(shard) }, tags: [`${shard}`] });

/** The same id in two shards, neither of which its text names. */
async function openTwice() {
  const sharded = await openSharded(SHARDS);
  const id = keyIn(0);
  const shards = [1, 3];
  for (const shard of [3, 1]) await sharded.driver.enqueue([inShard(id, shard)]);
  const states = () =>
    Promise.all(shards.map(async (shard) => (await sharded.alone(shard).get(QUEUE, id))?.state ?? "gone"));
  return { ...sharded, id, states };
}

describe("an id that has jobs in two shards", () => {
  it("is answered by `get` with the same job each time, by every driver", async () => {
    const { driver, another, id } = await openTwice();
    for (const one of [driver, await (another as () => Promise<typeof driver>)()])
      for (let time = 0; time < 5; time++) expect(await one.get(QUEUE, id)).toMatchObject({ tags: ["1"] });
  });

  it("is answered by `get` with the job in the shard that its text names, where it has one", async () => {
    const { driver } = await openSharded(SHARDS);
    const id = keyIn(2);
    for (const shard of [0, 3, 1]) await driver.enqueue([inShard(id, shard)]);
    await driver.enqueue([job({ id, tags: ["home"] })]);
    expect(await driver.get(QUEUE, id)).toMatchObject({ tags: ["home"] });
  });

  it.each(["retry", "promote", "update"] as const)("is refused by `%s`, which names the shards", async (type) => {
    const { driver, id, states } = await openTwice();
    const command = { queue: QUEUE, id, ...(type === "update" ? { type, priority: 3 } : { type }) };
    await expect(driver.command(command)).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("cancel and remove take all of them"),
      details: { id, queue: QUEUE, shards: [1, 3] },
    });
    expect(await states()).toEqual(["waiting", "waiting"]);
  });

  it("is cancelled and removed in both", async () => {
    const { driver, id, states } = await openTwice();
    expect(await driver.command({ type: "cancel", queue: QUEUE, id })).toEqual({ affected: 2, state: "cancelled" });
    expect(await states()).toEqual(["cancelled", "cancelled"]);
    expect(await driver.command({ type: "remove", queue: QUEUE, id })).toMatchObject({ affected: 2 });
    expect(await states()).toEqual(["gone", "gone"]);
    expect(await driver.command({ type: "remove", queue: QUEUE, id })).toMatchObject({ affected: 0 });
  });

  it("is one job to every verb again once the other is gone", async () => {
    const { driver, alone, id } = await openTwice();
    await alone(1).command({ type: "remove", queue: QUEUE, id });
    expect(await driver.get(QUEUE, id)).toMatchObject({ tags: ["3"] });
    expect(await driver.command({ type: "update", queue: QUEUE, id, priority: 2 })).toMatchObject({ affected: 1 });
    expect(await driver.command({ type: "cancel", queue: QUEUE, id })).toMatchObject({ affected: 1 });
    expect(await driver.command({ type: "retry", queue: QUEUE, id })).toMatchObject({ affected: 1 });
  });

  it("is a parent in both: pages of children are those of the job that `get` answers, and of the one that is claimed", async () => {
    const { as, alone } = await openSharded(SHARDS);
    const driver = as(SHARDS);
    const id = keyIn(0);
    for (const shard of [3, 1])
      await driver.enqueue([
        job({ ...inShard(id, shard), flow: { ref: "r" } }),
        ...["a", "b"].map((kid) => job({ id: `${kid}-${shard}`, name: "kid", flow: { parentRef: "r" } })),
      ]);
    const queue = new Queue(QUEUE, driver);
    queue.on("job:kid", () => "done");
    await queue.drain();
    const idsOf = (page: { readonly children: readonly { readonly id: string }[] }) =>
      page.children.map((one) => one.id);
    expect(idsOf(await driver.childrenPage(QUEUE, id, ""))).toEqual(["a-1", "b-1"]);
    // What is behind the last one of the first parent is not of the other.
    const behind = JSON.stringify([QUEUE, "b-1"]);
    expect(idsOf(await driver.childrenPage(QUEUE, id, behind))).toEqual([]);
    expect(idsOf(await alone(3).childrenPage(QUEUE, id, ""))).toEqual(["a-3", "b-3"]);
    const { jobs } = await driver.exchange({
      ...{ worker: "w-parents", liveness: "time", leaseMs: 30_000, exchange: 1, settle: [], running: [] },
      claim: { limit: 9, queues: [{ queue: QUEUE, names: ["email"] }] },
    });
    const claimed = jobs.map(({ job: { tags }, children = [] }) => [tags[0], ...idsOf({ children })]);
    expect(claimed.toSorted()).toEqual([
      ["1", "a-1", "b-1"],
      ["3", "a-3", "b-3"],
    ]);
  });

  it("answers 409 over HTTP, and is deleted in both", async () => {
    const name = `twice-${tried++}`;
    const api = queueApi({
      object: () => env.BARE_QUEUE,
      auth: bearerTokens({ token: { scopes: ["enqueue", "work", "admin"], subject: "tests" } }),
      shards: { [name]: SHARDS },
    });
    const driver = httpDriver({ url: "", token: "token", fetch: async (url, init) => api.request(url, init, env) });
    const queue = new Queue(name, driver);
    const id = keyIn(0);
    for (const shard of [1, 2]) await queue.addJob("email", null, { id, group: { key: keyIn(shard) } });
    await expect(queue.update(id, { priority: 1 })).rejects.toMatchObject({
      code: "conflict",
      details: { status: 409, shards: [1, 2] },
    });
    await queue.remove(id);
    expect(await queue.get(id)).toBeUndefined();
    expect(await queue.counts()).toMatchObject({ waiting: 0 });
    await driver.close();
  });
});

describe("a generated id that is given again", () => {
  it.each(["a group", "a dedupe key"])("with %s of another shard names the job that stands", async (by) => {
    const { driver } = await openSharded(SHARDS);
    const made = new Set<number>();
    for (let call = 0; call < 12; call++) {
      const [receipt] = await driver.enqueue([job({})]);
      const id = receipt?.id as string;
      const maker = storeOfId(id) as number;
      made.add(maker);
      const key = keyIn((maker + 1) % SHARDS);
      const again = job({ id, ...(by === "a group" ? { group: { key } } : { dedupe: { key, mode: "drop" } }) });
      expect(await driver.enqueue([again]), `of shard ${maker}`).toEqual([{ id, deduplicated: true }]);
    }
    expect(made.size).toBe(SHARDS);
    expect(await driver.counts(QUEUE)).toMatchObject({ waiting: 12 });
  });
});

describe("beside a shard that never answers", () => {
  afterEach(closeAll);

  it.each(["get", "update", "cancel", "remove"] as const)(
    "%s of a job in another shard waits for it a second",
    async (verb) => {
      const clock = createManualClock();
      const { remote, faults, name } = await open(0);
      const { worker: queue } = remote(clock);
      // Its group decides its shard.
      const id = keyIn(0);
      await queue.addJob("email", null, { id, group: { key: keyIn(1) } });
      faults.set(3, "hangs");
      let answer: unknown;
      const asked = {
        get: () => queue.get(id),
        update: () => queue.update(id, { priority: 1 }),
        cancel: () => queue.cancel(id),
        remove: () => queue.remove(id),
      }[verb]();
      void asked.then(
        () => {
          answer = "done";
        },
        (error: unknown) => {
          answer = error;
        },
      );
      await until(clock, 50, () => answer !== undefined);
      expect(answer).toBe("done");
      expect(clock.monotonic()).toBeLessThanOrEqual(1_500);
      expect(name).toBeDefined();
    },
  );
});
