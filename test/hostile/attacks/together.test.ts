import { aesGcm, defineJobs, everything, type JobOptions, Queue, QueueManager } from "@quayside/core";
import { JobWorker, StoreDriver } from "@quayside/core/engine";
import { drain } from "@quayside/testing";
import { attacks, odd, outcome, type Room, said } from "./kit.ts";

async function standing(room: Room, queue: Queue = room.queue): Promise<string> {
  const { waiting, delayed, active, completed, failed, cancelled } = await queue.counts();
  return `w${waiting} d${delayed} a${active} c${completed} f${failed} x${cancelled}`;
}

/** A handler of so many ms on the room's clock; answers the payloads in the order of their beginning. */
function slow({ clock, queue }: Room, ms: number): unknown[] {
  const begun: unknown[] = [];
  queue.on("job:odd", async (payload) => {
    begun.push(payload);
    await new Promise<void>((resolve) => void clock.after(ms, resolve));
  });
  return begun;
}

const many = (count: number, options: JobOptions = {}) =>
  Array.from({ length: count }, (_, payload) => ({ name: "odd", payload, ...options }));

attacks("R10, R18: prefetch beside other rules", (row) => {
  const verbs: readonly (readonly [
    input: string,
    came: string,
    act: (queue: Queue, ids: readonly string[]) => unknown,
  ])[] = [
    ["pause", "0 1; w6 d0 a0 c2 f0 x0", (queue) => queue.pause()],
    ["pause and resume", "0 1 2 3 4 5 6 7; w0 d0 a0 c8 f0 x0", (queue) => queue.pause().then(() => queue.resume())],
    ["cancel of one held ahead", "0 1 2 4 5 6 7; w0 d0 a0 c7 f0 x1", (queue, ids) => queue.cancel(ids[3] ?? "")],
    ["remove of one held ahead", "0 1 2 4 5 6 7; w0 d0 a0 c7 f0 x0", (queue, ids) => queue.remove(ids[3] ?? "")],
    ["clear of what waits", "0 1 2 3 4 5 6 7; w0 d0 a0 c8 f0 x0", (queue) => queue.clear("waiting")],
    ["clear of what is active", "0 1; w0 d0 a0 c0 f0 x0", (queue) => queue.clear("active")],
    ["clear of all", "0 1; w0 d0 a0 c0 f0 x0", (queue) => queue.clear()],
    ["configure maxActive 1", "0 1 2 3 4 5 6 7; w0 d0 a0 c8 f0 x0", (queue) => queue.configure({ maxActive: 1 })],
    [
      "configure a rate limit of 1 a second",
      "0 1 2 3 4 5 6 7; w0 d0 a0 c8 f0 x0",
      (queue) => queue.configure({ rateLimit: { max: 1, per: "1s" } }),
    ],
    ["stop", "0 1; w6 d0 a0 c2 f0 x0", (queue) => void queue.stop({ timeout: "1m" })],
    ["stop of no patience", "0 1; w6 d0 a0 c2 f0 x0", (queue) => void queue.stop({ timeout: 0 })],
    ["drain", "0 1 2 3 4 5 6 7; w0 d0 a0 c8 f0 x0", (queue) => void queue.drain()],
    ["run again", "0 1 2 3 4 5 6 7; w0 d0 a0 c8 f0 x0", (queue) => queue.run({ concurrency: 8, prefetch: 0 })],
    [
      "an add of the highest priority",
      "0 1 2 3 4 5 6 7 high; w0 d0 a0 c9 f0 x0",
      (queue) => queue.addJob("odd", "high", { priority: 100 }),
    ],
    [
      "an add of a group",
      "0 1 2 3 4 5 6 7 0 1; w0 d0 a0 c10 f0 x0",
      (queue) => queue.addJobs(many(2, { group: { key: "g" } })),
    ],
    ["retryAll", "0 1 2 3 4 5 6 7; w0 d0 a0 c8 f0 x0", (queue) => queue.retryAll()],
    [
      "an update of one held ahead",
      "0 1 2 3 4 5 6 7; w0 d0 a0 c8 f0 x0",
      (queue, ids) => outcome(() => queue.update(ids[3] ?? "", { priority: 5 })),
    ],
    ["a handler more", "0 1 2 3 4 5 6 7; w0 d0 a0 c8 f0 x0", (queue) => void queue.on("job:more", () => {})],
  ];
  for (const [input, came, act] of verbs)
    row(`2 run, 10 are held ahead, then ${input}`, came, async (room) => {
      const begun = slow(room, 1_000);
      const { queue, clock } = room;
      const ids = await queue.addJobs(many(8));
      await queue.run({ concurrency: 2, prefetch: 10 });
      await clock.advance(500);
      await act(queue, ids);
      await clock.advance("30s");
      await queue.resume();
      await queue.stop();
      return `${begun.join(" ")}; ${await standing(room)}`;
    });
  row("maxJobs 3 with 10 held ahead", "0 1 2; w5 d0 a0 c3 f0 x0", async (room) => {
    const begun = slow(room, 1_000);
    const { queue, clock } = room;
    await queue.addJobs(many(8));
    await queue.run({ concurrency: 2, prefetch: 10, maxJobs: 3 });
    await clock.advance("30s");
    return `${begun.join(" ")}; ${await standing(room)}`;
  });
  row("one held ahead is of two interruptions", "3 held at first; 0 1 2 0 1 0 1; w0 d0 a0 c7 f0 x0", async (room) => {
    const begun = slow(room, 1_000);
    const { queue, clock } = room;
    await queue.addJobs([...many(3), ...many(2, { maxInterruptions: 2 }), ...many(2)]);
    await queue.run({ concurrency: 1, prefetch: 10 });
    await clock.advance(100);
    const { active } = await queue.counts();
    await clock.advance("30s");
    await queue.stop();
    return `${active} held at first; ${begun.join(" ")}; ${await standing(room)}`;
  });
  row("the worker dies with 5 held ahead", "0; 0 1 2 3 4 5; interruptions 1 1 1 1 1 1", async (room) => {
    const { queue, clock } = room;
    const dead = new Queue("mail", room.another(), { clock }) as unknown as Queue;
    const stuck: unknown[] = [];
    dead.on("job:odd", (payload) => {
      stuck.push(payload);
      return new Promise(() => {});
    });
    await queue.addJobs(many(6));
    await dead.run({ concurrency: 1, prefetch: 5 });
    await clock.advance(100);
    // It answers no more.
    dead.driver.exchange = () => new Promise(() => {});
    const begun = slow(room, 10);
    await queue.run();
    await clock.advance("5m");
    await queue.stop();
    const { jobs } = await queue.list();
    return `${stuck.join(" ")}; ${begun.slice().sort().join(" ")}; interruptions ${jobs.map((job) => job.interruptions).join(" ")}`;
  });
});

attacks("R34: life beside other rules", (row) => {
  row(
    "the driver is closed during an exchange",
    "done; refused job_not_found: T; refused closed: This sto; refused closed: This dri; refused closed: This sto; done",
    async (room) => {
      const { clock } = room;
      const store = new (await import("@quayside/core/engine")).MemoryStore();
      const driver = new StoreDriver(store, { plugins: everything(), clock });
      const queue = new Queue("mail", driver, { clock }) as unknown as Queue;
      queue.on("error", () => {});
      queue.on("job:odd", () => {});
      await queue.addJobs(many(20));
      const running = outcome(() => queue.run());
      const waited = outcome(() => queue.waitFor("none"));
      const added = outcome(() => queue.addJob("odd", 1).then(() => "added"));
      await driver.close();
      await clock.advance("1m");
      const drained = outcome(() => queue.drain());
      const later = await outcome(() => queue.addJob("odd", 1));
      await clock.advance("5m");
      return [await running, await waited, await added, await drained, later, await outcome(() => queue.stop())]
        .map((text) => text.slice(0, 24))
        .join("; ");
    },
  );
  row("a handler closes its driver", "1 runs; done; refused closed", async (room) => {
    const { clock } = room;
    const store = new (await import("@quayside/core/engine")).MemoryStore();
    const driver = new StoreDriver(store, { plugins: everything(), clock });
    const queue = new Queue("mail", driver, { clock }) as unknown as Queue;
    queue.on("error", () => {});
    let runs = 0;
    queue.on("job:odd", async () => {
      runs++;
      await driver.close();
    });
    await queue.addJobs(many(3));
    await queue.run({ concurrency: 1 });
    await clock.advance("5m");
    return `${runs} runs; ${await outcome(() => queue.stop({ timeout: 0 }))}; ${(await outcome(() => queue.drain())).slice(0, 14)}`;
  });
  row("a handler waits for another of its queue, one at a time", "failed timeout; w0 d0 a0 c1 f1 x0", async (room) => {
    const { queue, clock } = room;
    queue.on("job:odd", async (payload, ctx) => {
      if (payload !== "first") return "second";
      const id = await ctx.enqueue({ name: "odd", payload: "second" });
      return queue.waitFor(id, { timeout: "10s" });
    });
    const id = await queue.addJob("odd", "first", { maxAttempts: 1 });
    await queue.run({ concurrency: 1 });
    await clock.advance("1m");
    await queue.stop();
    const job = await queue.get(id);
    return `${job?.state} ${job?.error?.code}; ${await standing(room)}`;
  });
  row("a handler waits for itself", "failed timeout", async (room) => {
    const { queue, clock } = room;
    queue.on("job:odd", (_, ctx) => queue.waitFor(ctx.id, { timeout: "10s" }));
    const id = await queue.addJob("odd", 1, { maxAttempts: 1 });
    await queue.run();
    await clock.advance("1m");
    await queue.stop();
    const job = await queue.get(id);
    return `${job?.state} ${job?.error?.code}`;
  });
  row("a handler cancels itself and goes on", "true; cancelled", async (room) => {
    const { queue, clock } = room;
    let aborted = false;
    queue.on("job:odd", async (_, ctx) => {
      await queue.cancel(ctx.id);
      await new Promise<void>((resolve) => void clock.after(1_000, resolve));
      aborted = ctx.signal.aborted;
      return "done";
    });
    const id = await queue.addJob("odd", 1);
    await queue.run();
    await clock.advance("1m");
    await queue.stop();
    return `${aborted}; ${(await queue.get(id))?.state}`;
  });
  row("a handler removes itself, and fails", "1 runs; w0 d0 a0 c0 f0 x0", async (room) => {
    const { queue, clock } = room;
    let runs = 0;
    queue.on("job:odd", async (_, ctx) => {
      runs++;
      await queue.remove(ctx.id);
      throw new Error("no");
    });
    await queue.addJob("odd", 1);
    await drain(queue, { clock });
    return `${runs} runs; ${await standing(room)}`;
  });
  row("a handler adds its own id again", "1 runs; w0 d0 a0 c1 f0 x0", async (room) => {
    const { queue, clock } = room;
    let runs = 0;
    queue.on("job:odd", async (_, ctx) => {
      if (++runs < 5) await ctx.enqueue({ name: "odd", payload: 1, id: "same" });
    });
    await queue.addJob("odd", 1, { id: "same" });
    await drain(queue, { clock });
    return `${runs} runs; ${await standing(room)}`;
  });
  row("a handler replaces itself by its key, five times", "6 runs; w0 d0 a0 c6 f0 x0", async (room) => {
    const { queue, clock } = room;
    let runs = 0;
    const dedupe = { key: "k", mode: "replace" } as const;
    queue.on("job:odd", async (_, ctx) => {
      if (++runs <= 5) for (let add = 0; add < 3; add++) await ctx.enqueue({ name: "odd", payload: add, dedupe });
    });
    await queue.addJob("odd", 1, { dedupe });
    await drain(queue, { clock });
    return `${runs} runs; ${await standing(room)}`;
  });
  row("a handler unschedules and schedules its own recurrence", "8 runs; w0 d0 a0 c8 f0 x0", async (room) => {
    const { queue, clock } = room;
    let runs = 0;
    const set = () => queue.schedule("k", { every: "1m", limit: 3, name: "odd", payload: 1 });
    queue.on("job:odd", async () => {
      if (++runs > 5) return;
      await queue.unschedule("k");
      await set();
    });
    await set();
    await drain(queue, { clock, until: 3_600_000 });
    return `${runs} runs; ${await standing(room)}`;
  });
  row(
    "run, stop, drain and processNext of one worker in one turn",
    "done; done; done; done; refused conflict; done; done; 5 ran; w0 d0 a0 c5 f0 x0",
    async (room) => {
      const { driver, clock, queue } = room;
      const seen: unknown[] = [];
      await queue.addJobs(many(5));
      const worker = new JobWorker(driver, {
        clock,
        queues: [{ name: "mail", run: ({ payload }) => void seen.push(payload) }],
      });
      const calls = [
        worker.start(),
        worker.drain(),
        worker.stop(),
        worker.drain(),
        outcome(() => worker.processNext("mail")),
        worker.start(),
        worker.stop(),
      ];
      await clock.advance("1m");
      const settled = await Promise.all(calls.map((call) => outcome(() => call)));
      return `${settled.map((text) => text.slice(0, 16)).join("; ")}; ${seen.length} ran; ${await standing(room)}`;
    },
  );
  row(
    "two drains and a stop of no patience, with a handler that ignores its signal",
    "6 at once; w0 d0 a0 c4 f0 x0",
    async (room) => {
      const { queue, clock } = room;
      let at = 0;
      let most = 0;
      queue.on("job:odd", async () => {
        most = Math.max(most, ++at);
        await new Promise<void>((resolve) => void clock.after(60_000, resolve));
        at--;
      });
      await queue.addJobs(many(4));
      const calls = [queue.drain({ concurrency: 2 }), queue.drain()];
      await clock.advance(100);
      calls.push(queue.stop({ timeout: 0 }));
      await clock.advance("40s");
      await queue.run();
      await clock.advance("5m");
      await queue.stop();
      await Promise.all(calls);
      return `${most} at once; ${await standing(room)}`;
    },
  );
  row(
    "the manager stops while a connection is added and a queue is paused",
    "added; added; done; done; added; 2 ran",
    async (room) => {
      const { clock, driver } = room;
      const manager = new QueueManager({ connections: { a: driver }, clock, defaultQueue: "mail" } as never);
      const seen: unknown[] = [];
      manager.registerJob({ name: "odd", handler: (payload: unknown) => void seen.push(payload) } as never);
      const add = (connection?: string) =>
        outcome(() =>
          manager.enqueue({ name: "odd", payload: 1, ...(connection && { connection }) } as never).then(() => "added"),
        );
      const started = outcome(() => manager.start());
      manager.addConnection("b", room.another());
      const said = [await add(), await add("b")];
      const stopped = outcome(() => manager.stop());
      said.push(await started, await stopped, await add());
      await clock.advance("1m");
      return `${said.join("; ")}; ${seen.length} ran`;
    },
  );
});

attacks("combined", (row) => {
  row(
    "a flow in a paused queue whose child is retried, cancelled and cleared",
    '{"affected":1,"state":"waiting"}; [["cancelled","failed"]]; completed; w0 d0 a0 c2 f0 x1',
    async (room) => {
      const { queue, clock } = room;
      let fail = true;
      const outcomes: unknown[] = [];
      queue.on("job:kid", () => {
        if (fail) throw new Error("no");
      });
      queue.on(
        "job:root",
        (_, ctx) =>
          void outcomes.push(
            ctx
              .children()
              .map(({ state }) => state)
              .sort(),
          ),
      );
      const kid = { name: "kid", payload: 1, maxAttempts: 1, onFailure: "ignore" as const };
      const { id, children } = await queue.addFlow({
        name: "root",
        payload: 0,
        children: [kid, { ...kid, delay: "1h" }],
      });
      await queue.drain();
      fail = false;
      await queue.pause();
      const retried = await outcome(() => queue.retry(children[0]?.id ?? ""));
      await queue.cancel(children[1]?.id ?? "");
      await queue.resume();
      await drain(queue, { clock });
      return `${retried}; ${said(outcomes)}; ${(await queue.get(id))?.state}; ${await standing(room)}`;
    },
  );
  row(
    "a flow whose children are of one group with a rate limit, cleared by tag halfway",
    "0 1 root; completed; w0 d0 a0 c3 f0 x0",
    async (room) => {
      const { queue, clock } = room;
      const seen: unknown[] = [];
      queue.on("job:odd", (payload) => void seen.push(payload));
      await queue.configure({ rateLimit: { max: 1, per: "1s" } });
      const { id } = await queue.addFlow({
        name: "odd",
        payload: "root",
        children: [0, 1, 2, 3].map((payload) => ({
          name: "odd",
          payload,
          group: { key: "g" },
          tags: [payload > 1 ? "late" : "soon"],
          onFailure: "ignore" as const,
        })),
      });
      await queue.run();
      await clock.advance("1500ms" as never);
      await queue.clear({ tags: ["late"] });
      await clock.advance("10s");
      await queue.stop();
      return `${seen.join(" ")}; ${(await queue.get(id))?.state}; ${await standing(room)}`;
    },
  );
  row(
    "an id that is added, ends, is removed and is added again, with a key",
    "one one one; 1 runs; w0 d0 a0 c0 f0 x0",
    async (room) => {
      const { queue } = room;
      let runs = 0;
      queue.on("job:odd", () => void runs++);
      const options: JobOptions = { id: "one", dedupe: { key: "k", mode: "throttle", ttl: "1h" } };
      const said: string[] = [];
      for (let round = 0; round < 3; round++) {
        said.push(await outcome(() => queue.addJob("odd", round, options)));
        await queue.drain();
        await queue.remove("one");
      }
      return `${said.join(" ")}; ${runs} runs; ${await standing(room)}`;
    },
  );
  row("a group's limit is raised while its jobs are debounced and paused", "1 3; w0 d0 a0 c2 f0 x0", async (room) => {
    const begun = slow(room, 1_000);
    const { queue, clock } = room;
    await queue.run();
    for (const limit of [1, 1, 1, 3])
      await queue.addJob("odd", limit, {
        group: { key: "g", limit },
        dedupe: { key: `k${limit}${begun.length}`, mode: "debounce", wait: 10 },
      });
    await queue.pause();
    await clock.advance("2s");
    await queue.resume();
    await clock.advance("10s");
    await queue.stop();
    return `${begun.join(" ")}; ${await standing(room)}`;
  });
  row(
    "an operator retries all while the queue is cleared and drained",
    "0 failed, 0 waiting, ran as often as completed: true",
    async (room) => {
      const { queue, clock } = room;
      let fail = true;
      let runs = 0;
      queue.on("job:odd", () => {
        runs++;
        if (fail) throw new Error("no");
      });
      await queue.configure({ keep: { failed: 2_000 } });
      await queue.addJobs(many(1_000, { maxAttempts: 1 }));
      await queue.drain();
      fail = false;
      const calls = [queue.retryAll(), queue.clear("failed"), queue.drain(), queue.clear("waiting")];
      await clock.advance("1s");
      await Promise.all(calls);
      await drain(queue, { clock });
      const { failed, waiting, completed } = await queue.counts();
      return `${failed} failed, ${waiting} waiting, ran as often as completed: ${runs - 1_000 >= completed}`;
    },
  );
  row(
    "a batch whose jobs exist by key, with an onComplete of a group that is full",
    "hog old b last; w0 d0 a0 c4 f0 x0",
    async (room) => {
      const begun = slow(room, 1_000);
      const { queue, clock } = room;
      await queue.addJob("odd", "hog", { group: { key: "g" } });
      await queue.addJob("odd", "old", { dedupe: { key: "k" } });
      await queue.addBatch(
        [
          { name: "odd", payload: "new", dedupe: { key: "k" } },
          { name: "odd", payload: "b" },
        ],
        { onComplete: { name: "odd", payload: "last", group: { key: "g" } } },
      );
      await queue.run();
      await clock.advance("1m");
      await queue.stop();
      return `${begun.join(" ")}; ${await standing(room)}`;
    },
  );
  row(
    "what is not to be queued, encrypted, that is given back twice",
    "sealed; 3 runs; w0 d0 a0 c1 f0 x0",
    async (room) => {
      const { clock } = room;
      let runs = 0;
      const jobs = defineJobs({ odd: { shouldQueue: () => false } });
      const queue = room.open("vault", {
        jobs,
        encryption: aesGcm({ keys: { a: new Uint8Array(16) }, current: "a" }),
        defaults: { encrypted: true },
      });
      queue.on("job:odd", (_, ctx) => {
        if (++runs < 3) ctx.release("1s");
        return "done";
      });
      await queue.addJob("odd", "secret");
      const stored = JSON.stringify(await room.driver.list({ queue: "vault" })).includes("secret")
        ? "in the clear"
        : "sealed";
      await drain(queue, { clock });
      return `${stored}; ${runs} runs; ${await standing(room, queue)}`;
    },
  );
  const definitions: readonly (readonly [input: string, came: string, definition: object])[] = [
    ["shouldQueue: false", "refused invalid_option, names odd.shouldQueue", { shouldQueue: false }],
    ["shouldQueue: true", "refused invalid_option, names odd.shouldQueue", { shouldQueue: true }],
    ["retryIf: false", "refused invalid_option, names odd.retryIf", { retryIf: false }],
    ["onFailed: a text", "refused invalid_option, names odd.onFailed", { onFailed: "mail" }],
    ["handler: null", "refused invalid_option, names odd.handler", { handler: null }],
    [
      "a word that is not known",
      "refused invalid_option, names speed; 0 runs; w0 d0 a0 c0 f0 x0; 0 told",
      { speed: 1 },
    ],
    [
      "shouldQueue that throws",
      "raw Error: no; 0 runs; w0 d0 a0 c0 f0 x0; 0 told",
      {
        shouldQueue: () => {
          throw new Error("no");
        },
      },
    ],
    [
      "shouldQueue that answers a promise",
      "added; 2 runs; w0 d0 a0 c0 f1 x0; 0 told",
      { shouldQueue: async () => false },
    ],
    ["retryIf that answers a promise", "added; 2 runs; w0 d0 a0 c0 f1 x0; 1 told", { retryIf: async () => false }],
    [
      "retryIf that throws",
      "added; 2 runs; w0 d0 a0 c0 f1 x0; 1 told",
      {
        retryIf: () => {
          throw new Error("no");
        },
      },
    ],
    [
      "onFailed that throws",
      "added; 2 runs; w0 d0 a0 c0 f1 x0; 1 told",
      {
        onFailed: () => {
          throw new Error("no");
        },
      },
    ],
    [
      "onFailed that rejects",
      "added; 2 runs; w0 d0 a0 c0 f1 x0; 1 told",
      {
        onFailed: async () => {
          throw new Error("no");
        },
      },
    ],
    [
      "maxExceptions 1 and a backoff that answers text",
      "added; 1 runs; w0 d0 a0 c0 f1 x0; 0 told",
      { maxExceptions: 1, backoff: () => "soon" },
    ],
    ["a backoff that answers text", "added; 2 runs; w0 d0 a0 c0 f1 x0; 1 told", { backoff: () => "soon" }],
    ["a backoff that answers NaN", "added; 2 runs; w0 d0 a0 c0 f1 x0; 1 told", { backoff: () => Number.NaN }],
    ["a backoff that answers a promise", "added; 2 runs; w0 d0 a0 c0 f1 x0; 1 told", { backoff: async () => 1 }],
  ];
  for (const [input, came, definition] of definitions)
    row(`a definition with ${input}, of a job that fails`, came, async (room) => {
      let runs = 0;
      const made = await outcome(() => void defineJobs({ odd: odd(definition) }));
      if (made !== "done") return made;
      const queue = room.open("vault", {
        jobs: defineJobs({ odd: odd(definition) }),
        defaults: { backoff: "1s", maxAttempts: 2 },
      });
      queue.on("job:odd", () => {
        if (++runs > 9) return;
        throw new Error("bad");
      });
      const added = await outcome(() => queue.addJob("odd", 1).then(() => "added"));
      await drain(queue, { clock: room.clock });
      return `${added}; ${runs} runs; ${await standing(room, queue)}; ${room.faults.length} told`;
    });
  row(
    "two queues of one store take each other's ids, keys, groups and schedules",
    "other 2, other 4; w0 d0 a0 c0 f0 x0; w0 d0 a0 c2 f0 x0",
    async (room) => {
      const other = room.open("mail/other");
      const { queue, clock } = room;
      const seen: string[] = [];
      queue.on("job:odd", (payload) => void seen.push(`mail ${payload}`));
      other.on("job:odd", (payload) => void seen.push(`other ${payload}`));
      const options: JobOptions = { id: "one", dedupe: { key: "k" }, group: { key: "g" } };
      await queue.addJob("odd", 1, options);
      await other.addJob("odd", 2, options);
      await queue.schedule("s", { every: "1m", limit: 1, name: "odd", payload: 3 });
      await other.schedule("s", { every: "1m", limit: 1, name: "odd", payload: 4 });
      await queue.unschedule("s");
      await queue.cancel("one");
      await queue.clear();
      await drain([queue, other], { clock });
      return `${seen.join(", ")}; ${await standing(room)}; ${await standing(room, other)}`;
    },
  );
  row("a listener that throws at each event of a flow that fails", "w0 d0 a0 c0 f2 x0; told", async (room) => {
    const { queue, clock } = room;
    for (const event of ["active", "completed", "failed", "retrying", "released", "progress", "log", "idle"])
      queue.on(event as "completed", () => {
        throw new Error(event);
      });
    queue.on("job:odd", (payload, ctx) => {
      ctx.log("line");
      ctx.progress(1);
      if (payload === 2) throw new Error("no");
    });
    await queue.addFlow({
      name: "odd",
      payload: 1,
      children: [{ name: "odd", payload: 2, maxAttempts: 2 }],
    });
    await drain(queue, { clock });
    return `${await standing(room)}; ${room.faults.length > 0 ? "told" : "silent"}`;
  });
  row(
    "an expired child, of a parent that is retried after",
    'child_failed; [["failed expired"]]; w0 d0 a0 c1 f1 x0',
    async (room) => {
      const { queue, clock } = room;
      const outcomes: unknown[] = [];
      queue.on(
        "job:odd",
        (_, ctx) => void outcomes.push(ctx.children().map(({ state, error }) => `${state} ${error?.code}`)),
      );
      const { id } = await queue.addFlow({
        name: "odd",
        payload: 1,
        children: [{ name: "odd", payload: 2, delay: "1m", expiresIn: "1s" }],
      });
      await drain(queue, { clock });
      const before = (await queue.get(id))?.error?.code;
      await queue.retry(id);
      await drain(queue, { clock });
      return `${before}; ${said(outcomes)}; ${await standing(room)}`;
    },
  );
  row("tasks of 100 children that end in one exchange, nothing kept", "100 seen; w0 d0 a0 c0 f0 x0", async (room) => {
    const { queue, clock, driver } = room;
    await queue.configure({ keep: { completed: 0 } });
    let seen = 0;
    queue.on("job:kid", () => {});
    queue.on("job:root", (_, ctx) => {
      seen = ctx.children().length;
    });
    await queue.addFlow({
      name: "root",
      payload: 0,
      children: Array.from({ length: 100 }, () => ({ name: "kid", payload: 1 })),
    });
    await queue.drain({ concurrency: 100 });
    await drain(queue, { clock });
    void driver;
    return `${seen} seen; ${await standing(room)}`;
  });
  row("a recurrence that skips, whose occurrence is released for a day", "1, then true", async (room) => {
    const { queue, clock } = room;
    let runs = 0;
    queue.on("job:odd", (_, ctx) => {
      if (++runs === 1) ctx.release("1d");
    });
    await queue.schedule("k", { every: "1m", overlap: "skip", name: "odd", payload: 1 });
    await queue.run();
    await clock.advance("23h");
    const during = runs;
    await clock.advance("2h");
    await queue.stop();
    return `${during}, then ${runs > 50}`;
  });
  row(
    "a recurrence whose occurrence steps aside for its name, is paused and set again",
    "w1 d0 a0 c0 f0 x0; 2 2 2",
    async (room) => {
      const { queue, clock } = room;
      queue.on("job:other", () => {});
      queue.on("error", () => {});
      await queue.schedule("k", { every: "1m", name: "odd", payload: 1 });
      await queue.run();
      await clock.advance("5m");
      await queue.schedule("k", { every: "1m", name: "odd", payload: 2 });
      const before = await standing(room);
      const seen: unknown[] = [];
      queue.on("job:odd", (payload) => void seen.push(payload));
      await clock.advance("2m");
      await queue.stop();
      return `${before}; ${seen.join(" ")}`;
    },
  );
  row("invariants of a store that saw each of these at once", "0 0 0", async (room) => {
    const { queue, clock, driver } = room;
    queue.on("job:odd", (payload, ctx) => {
      if (payload === 1) throw new Error("no");
      if (payload === 2) ctx.release("10s");
      if (payload === 3) return queue.cancel(ctx.id);
      return undefined;
    });
    await queue.run({ concurrency: 4, prefetch: 4 });
    for (let round = 0; round < 20; round++) {
      await queue.addJobs(
        many(5, {
          group: { key: `g${round % 3}`, limit: 1 + (round % 2) },
          priority: round % 5,
          delay: (round % 4) * 1_000,
        }),
      );
      await queue.addJob("odd", 9, {
        dedupe: (
          [
            { key: "k", mode: "drop" },
            { key: "k", mode: "replace" },
            { key: "k", mode: "debounce", wait: 0 },
          ] as const
        )[round % 3],
      });
      if (round % 6 === 0) await queue.schedule("s", { every: "7s", overlap: "skip", name: "odd", payload: 1 });
      if (round % 5 === 0) await queue.pause();
      await clock.advance("1700ms" as never);
      clock.jump(round % 2 ? 120_000 : -120_000);
      if (round % 5 === 1) await queue.resume();
      if (round % 7 === 0) await queue.retryAll();
    }
    await queue.unschedule("s");
    await clock.advance("10m");
    await queue.clear("waiting");
    await queue.clear("delayed");
    await queue.stop();
    void driver;
    const { waiting, delayed, active } = await queue.counts();
    return `${waiting} ${delayed} ${active}`;
  });
});
