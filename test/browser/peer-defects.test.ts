import { indexedDbDriver } from "@quayside/browser";
import { Queue, UnrecoverableError } from "@quayside/core";
import { createManualClock, type ManualClock } from "@quayside/testing";
import { openDB } from "idb";
import { afterEach, describe, expect, it, vi } from "vitest";
import { databaseOf, freshName, NEWER, VERSION } from "./support/databases.ts";
import { OtherTab } from "./support/other-tab.ts";

// What other queues of the browser were found to get wrong, each run here: see docs/rules.md.

type Jobs = Record<string, unknown>;

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  vi.restoreAllMocks();
});

interface OpenOptions {
  readonly name?: string;
  readonly queue?: string;
  readonly clock?: ManualClock;
  readonly tabs?: "all" | "leader";
}

/** A queue on a database of its own, unless a name is given. */
function open({ name = freshName(), queue = "mail", clock, tabs = "all" }: OpenOptions = {}) {
  const driver = indexedDbDriver({ name, tabs, ...(clock && { clock }) });
  const made = new Queue<Jobs>(queue, driver, { clock });
  closers.push(
    () => driver.close(),
    () => made.stop({ timeout: 0 }),
  );
  return { name, driver, queue: made };
}

/** Resolves with the payload of the job of the next event of a name. */
const next = (queue: Queue<Jobs>, name: "completed" | "failed" | "retrying" | "released") =>
  new Promise<unknown>((resolve) => {
    const off = queue.on(name, ({ job }) => {
      off();
      resolve(job.payload);
    });
  });

/** Resolves when so many events of a name have come. */
const times = (queue: Queue<Jobs>, name: "completed" | "retrying", count: number) =>
  new Promise<void>((resolve) => {
    let left = count;
    queue.on(name, () => --left === 0 && resolve());
  });

const numbered = (count: number) => Array.from({ length: count }, (_, payload) => ({ name: "email", payload }));

const answering = (status: number, headers = {}) => {
  const response = new Response(null, { status, headers });
  return () => {
    if (!response.ok) throw Object.assign(new Error(`The server answered ${status}.`), { response });
  };
};

describe("a background-sync queue", () => {
  it("a worker that is killed in the middle of a job loses nothing: the job is there and runs again", async () => {
    const { name, queue } = open();
    const id = await queue.addJob("email", "precious");
    const other = new OtherTab();
    expect(await other.ask({ do: "claim", name, worker: "theirs", queue: "mail" })).toEqual([id]);
    expect((await queue.get(id))?.state).toBe("active");
    queue.on("job:email", () => {});
    const completed = next(queue, "completed");
    await queue.run();
    other.crash();
    expect(await completed).toBe("precious");
  });

  it.each([404, 500, 503])(
    "an answer of %d that the handler throws on is no success: the job is tried again",
    async (status) => {
      const { queue } = open();
      queue.on("job:email", answering(status));
      const id = await queue.addJob("email", 1);
      const retrying = next(queue, "retrying");
      await queue.run();
      await retrying;
      expect(await queue.get(id)).toMatchObject({ attempts: 1, error: { message: `The server answered ${status}.` } });
      expect((await queue.counts()).completed).toBe(0);
    },
  );

  it("a Retry-After that the handler throws on is heeded", async () => {
    const clock = createManualClock();
    const { queue } = open({ clock });
    queue.on("job:email", answering(429, { "retry-after": "120" }));
    const id = await queue.addJob("email", 1);
    const retrying = next(queue, "retrying");
    await queue.run();
    await retrying;
    expect(await queue.get(id)).toMatchObject({ state: "delayed", availableAt: clock.now() + 120_000 });
  });

  it("two queues of one database that fail at the same time keep each its own order", async () => {
    const clock = createManualClock();
    const { name, queue: mail } = open({ clock });
    const { queue: push } = open({ name, queue: "push", clock });
    const ran = new Map<Queue<Jobs>, unknown[]>();
    for (const queue of [mail, push]) {
      const order: unknown[] = [];
      ran.set(queue, order);
      queue.on("job:email", (payload, ctx) => {
        if (ctx.attempt === 1) throw new Error("The server is down.");
        order.push(payload);
      });
      await queue.addJobs(numbered(6).map((job) => ({ ...job, backoff: "10s" as const })));
    }
    const failed = [mail, push].map((queue) => times(queue, "retrying", 6));
    await Promise.all([mail, push].map((queue) => queue.run({ concurrency: 1 })));
    await Promise.all(failed);
    const completed = [mail, push].map((queue) => times(queue, "completed", 6));
    await clock.advance(10_000);
    await Promise.all(completed);
    expect([...ran.values()]).toEqual([
      [0, 1, 2, 3, 4, 5],
      [0, 1, 2, 3, 4, 5],
    ]);
  });

  it("two contexts that take jobs at the same time never take the same one", async () => {
    const { name, queue } = open();
    await queue.addJobs(numbered(150));
    const others = [new OtherTab(), new OtherTab(), new OtherTab()];
    const taken = (await Promise.all(
      others.map((tab, index) => tab.ask({ do: "claim", name, worker: `tab-${index}`, queue: "mail" })),
    )) as string[][];
    expect(taken.flat()).toHaveLength(150);
    expect(new Set(taken.flat()).size).toBe(150);
    for (const tab of others) tab.crash();
  });

  it("opening a database of the same version keeps its jobs", async () => {
    const first = open();
    const id = await first.queue.addJob("email", "kept");
    await first.driver.close();
    const second = open({ name: first.name });
    expect(await second.queue.get(id)).toMatchObject({ payload: "kept", state: "waiting" });
  });

  it("opening a database of a newer version is refused by its reason, and takes nothing away", async () => {
    const first = open();
    await first.queue.addJob("email", "kept");
    await first.driver.close();
    const newer = await openDB(databaseOf(first.name), NEWER);
    const second = open({ name: first.name });
    await expect(second.queue.addJob("email", "refused")).rejects.toMatchObject({
      code: "storage_unavailable",
      details: { reason: "newer_version" },
    });
    expect((await newer.getAll("jobs")).map(({ payload }) => payload)).toEqual(['"kept"']);
    newer.close();
  });

  it("attempts are counted and spaced out, and a job that has spent them is a dead letter, to be read and retried", async () => {
    const clock = createManualClock();
    const { queue } = open({ clock });
    queue.on("job:email", () => {
      throw new Error("no");
    });
    const id = await queue.addJob("email", 1, { maxAttempts: 2, backoff: "10s" });
    const retrying = next(queue, "retrying");
    await queue.run();
    await retrying;
    expect(await queue.get(id)).toMatchObject({ state: "delayed", attempts: 1, availableAt: clock.now() + 10_000 });
    const failed = next(queue, "failed");
    await clock.advance(10_000);
    await failed;
    await queue.stop();
    const { jobs } = await queue.list({ state: "failed" });
    expect(jobs).toMatchObject([{ id, attempts: 2, error: { message: "no" } }]);
    await queue.retry(id);
    expect(await queue.get(id)).toMatchObject({ state: "waiting", attempts: 0 });
  });

  it("the same work added twice is one job, and a job can be cancelled", async () => {
    const { queue } = open();
    const dedupe = { key: "newsletter" };
    const id = await queue.addJob("email", 1, { dedupe });
    expect(await queue.addJob("email", 2, { dedupe })).toBe(id);
    expect(await queue.size()).toBe(1);
    await queue.cancel(id);
    expect((await queue.get(id))?.state).toBe("cancelled");
  });
});

describe("an offline-transactions outbox", () => {
  it("a job that waits to be tried again holds up neither those behind it nor another queue", async () => {
    const clock = createManualClock();
    const { name, queue: mail } = open({ clock });
    const { queue: push } = open({ name, queue: "push", clock });
    mail.on("job:email", (payload) => {
      if (payload === 0) throw new Error("no");
    });
    push.on("job:email", () => {});
    await mail.addJobs(numbered(3).map((job) => ({ ...job, backoff: "1h" as const })));
    await push.addJobs(numbered(2));
    const completed = [times(mail, "completed", 2), times(push, "completed", 2)];
    await Promise.all([mail, push].map((queue) => queue.run({ concurrency: 1 })));
    await Promise.all(completed);
    expect(await mail.counts()).toMatchObject({ delayed: 1, completed: 2 });
  });

  it("a follower becomes the leader when the leader goes", async () => {
    const leader = open({ tabs: "leader" });
    const follower = open({ name: leader.name, tabs: "leader" });
    for (const { queue } of [leader, follower]) queue.on("job:email", () => {});
    const idle = new Promise((resolve) => leader.queue.on("idle", resolve));
    await leader.queue.run();
    await idle;
    await follower.queue.run();
    const first = next(leader.queue, "completed");
    await follower.queue.addJob("email", 1);
    expect(await first).toBe(1);
    const second = next(follower.queue, "completed");
    await leader.queue.stop();
    await follower.queue.addJob("email", 2);
    expect(await second).toBe(2);
  });

  it("what a follower adds is stored before it is told so", async () => {
    const leader = open({ tabs: "leader" });
    // No tab has a handler for it, which is reported.
    leader.queue.on("error", () => {});
    await leader.queue.run();
    const follower = open({ name: leader.name, tabs: "leader" });
    await follower.queue.run();
    const id = await follower.queue.addJob("unheard-of", "kept");
    await follower.queue.stop();
    await follower.driver.close();
    const database = await openDB(databaseOf(leader.name), VERSION);
    expect((await database.getAll("jobs")).map((job) => job.id)).toEqual([id]);
    database.close();
  });

  it("errors are told apart by class and code, never by their message", async () => {
    const { queue } = open();
    queue.on("job:email", (payload) => {
      if (payload === "final") throw new UnrecoverableError("200 OK, all is well");
      throw new Error("401 Unauthorized, 400, NonRetriable");
    });
    const retrying = next(queue, "retrying");
    const failed = next(queue, "failed");
    await queue.addJobs(["passing", "final"].map((payload) => ({ name: "email", payload })));
    await queue.run();
    expect([await retrying, await failed]).toEqual(["passing", "final"]);
  });

  it("no attempt is spent while offline, and the job runs when the browser is online again", async () => {
    const clock = createManualClock();
    const onLine = vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
    const { queue } = open({ clock });
    queue.on("job:email", () => {
      if (!navigator.onLine) throw new TypeError("Failed to fetch");
    });
    const id = await queue.addJob("email", 1, { requires: "network", maxAttempts: 1 });
    let released = next(queue, "released");
    await queue.run();
    for (let outage = 0; outage < 5; outage++) {
      await released;
      released = next(queue, "released");
      await clock.advance(60_000);
    }
    await released;
    expect(await queue.get(id)).toMatchObject({ attempts: 0, state: "delayed" });
    onLine.mockReturnValue(true);
    const completed = next(queue, "completed");
    dispatchEvent(new Event("online"));
    await completed;
    expect((await queue.get(id))?.attempts).toBe(1);
  });
});
