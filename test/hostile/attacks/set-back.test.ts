import { type JobOptions, Queue } from "@quayside/core";
import { JobWorker } from "@quayside/core/engine";
import { drain } from "@quayside/testing";
import { attacks, odd, outcome, type Room } from "./kit.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const YEAR = 365 * 24 * HOUR;

/** Runs `before` on a clock that is `ms` ahead, then sets it back. */
async function ahead<T>({ clock }: Room, ms: number, before: () => Promise<T>): Promise<T> {
  clock.jump(ms);
  const done = await before();
  clock.jump(-ms);
  return done;
}

/** Counts the runs of jobs named `odd`, each at the ms since the room was made. */
function runs({ queue, clock }: Room): number[] {
  const at: number[] = [];
  queue.on("job:odd", () => void at.push(Math.round(clock.monotonic())));
  return at;
}

async function standing({ queue }: Room): Promise<string> {
  const { waiting, delayed, active, completed, failed, cancelled } = await queue.counts();
  return `${waiting} waiting, ${delayed} delayed, ${active} active, ${completed + failed + cancelled} ended`;
}

attacks("R23: a clock that was ahead and is set back", (row) => {
  const keys: readonly (readonly [input: string, came: string, options: JobOptions])[] = [
    [
      "a key that throttles for a minute",
      "runs after each add: 1 2 2 3",
      { dedupe: { key: "k", mode: "throttle", ttl: "1m" } },
    ],
    ["a key that drops for a minute", "runs after each add: 1 2 2 3", { dedupe: { key: "k", ttl: "1m" } }],
    ["a key that drops while its job lives", "runs after each add: 1 2 3 4", { dedupe: { key: "k" } }],
    [
      "a key that is replaced, with a minute of its own",
      "runs after each add: 1 2 2 3",
      { dedupe: { key: "k", mode: "replace", ttl: "1m" } },
    ],
    [
      "a key that throttles for ten years",
      "runs after each add: 1 2 2 2",
      { dedupe: { key: "k", mode: "throttle", ttl: 10 * YEAR } },
    ],
  ];
  for (const [input, came, options] of keys)
    row(input, came, async (room) => {
      const at = runs(room);
      const { queue, clock } = room;
      await ahead(room, YEAR, async () => {
        await queue.addJob("odd", 1, options);
        await queue.drain();
      });
      await queue.addJob("odd", 2, options);
      await queue.drain();
      const second = at.length;
      await queue.addJob("odd", 3, options);
      await queue.drain();
      const third = at.length;
      await clock.advance("2m");
      await queue.addJob("odd", 4, options);
      await queue.drain();
      return `runs after each add: 1 ${second} ${third} ${at.length}`;
    });

  row("a debounced job is added every half minute, maxWait five minutes", "runs at 300000, 600000", async (room) => {
    const at = runs(room);
    const { queue, clock } = room;
    const options: JobOptions = { dedupe: { key: "k", mode: "debounce", wait: "1m", maxWait: "5m" } };
    await ahead(room, YEAR, () => queue.addJob("odd", 1, options));
    await queue.run();
    for (let add = 0; add < 24; add++) {
      await queue.addJob("odd", add, options);
      await clock.advance("30s");
    }
    await queue.stop();
    return `runs at ${at.join(", ")}`;
  });

  for (const state of ["completed", "failed", "cancelled"] as const)
    row(
      `three are kept that ended as ${state} ahead, then one more ends`,
      `gone, kept, kept, ${state}`,
      async (room) => {
        const { queue } = room;
        queue.on("job:odd", () => {
          if (state === "failed") throw new Error("no");
        });
        await queue.configure({ keep: { [state]: 3 } });
        const end = async () => {
          const id = await queue.addJob("odd", 1, { maxAttempts: 1 });
          if (state === "cancelled") await queue.cancel(id);
          await queue.drain();
          return id;
        };
        const old = await ahead(room, YEAR, async () => [await end(), await end(), await end()]);
        const next = await end();
        const left = await Promise.all(old.map(async (id) => ((await queue.get(id)) ? "kept" : "gone")));
        return `${left.join(", ")}, ${(await queue.get(next))?.state}`;
      },
    );

  const waits: readonly (readonly [input: string, came: string, options: JobOptions])[] = [
    ["a delay of 7 s", "run at 7000", { delay: "7s" }],
    ["a delay of a day", "run at 86400000", { delay: "1d" }],
    ["a delay of a ms", "run at 1", { delay: 1 }],
    ["a delay of the last priority", "run at 7000", { delay: "7s", priority: -100 }],
    ["no delay", "run at 0", {}],
    ["no delay, with an id", "run at 0", { id: "own" }],
    ["no delay, of a group", "run at 0", { group: { key: "g" } }],
    ["a delay, of a group", "run at 7000", { delay: "7s", group: { key: "g" } }],
    ["a delay, and it expires after 10 s", "run at 7000", { delay: "7s", expiresIn: "10s" }],
    ["a delay, and a key that is replaced", "run at 7000", { delay: "7s", dedupe: { key: "k", mode: "replace" } }],
    ["a delay, of tags and a timeout", "run at 7000", { delay: "7s", tags: ["t"], timeout: "1m" }],
  ];
  for (const [input, came, options] of waits)
    for (const [jump, ms] of [
      ["a year", YEAR],
      ["two minutes", 2 * MINUTE],
    ] as const)
      row(`${input}, set back by ${jump} in the process`, came, async (room) => {
        const at = runs(room);
        const { queue, clock } = room;
        await queue.run();
        await ahead(room, ms, () => queue.pause().then(() => queue.addJob("odd", 1, options)));
        await queue.resume();
        await clock.advance("2d");
        await queue.stop();
        return `run at ${at.join(", ")}`;
      });
  for (const [input, came, options] of waits)
    row(`${input}, set back before the process began`, came, async (room) => {
      await ahead(room, YEAR, () => room.queue.addJob("odd", 1, options));
      const queue = new Queue("mail", room.another(), { clock: room.clock });
      const at: number[] = [];
      queue.on("job:odd", () => void at.push(Math.round(room.clock.monotonic())));
      await queue.run();
      await room.clock.advance("2d");
      await queue.stop();
      return `run at ${at.join(", ")}`;
    });

  // Three recurrences of other phases are always due sooner, and nothing shows this process that the clock was set back.
  row.fails(
    "600 with a delay, then a process that schedules three things before it begins",
    "600 runs",
    async (room) => {
      const { queue, clock } = room;
      await ahead(room, YEAR, () =>
        queue.addJobs(Array.from({ length: 600 }, () => ({ name: "odd", payload: 1, delay: "7s" }))),
      );
      let ran = 0;
      const fresh = new Queue("mail", room.another(), { clock });
      fresh.on("job:odd", () => void ran++);
      fresh.on("job:tick", () => {});
      for (const [key, every] of Object.entries({ a: "10m", b: "11m", c: "13m" } as const)) {
        await fresh.schedule(key, { every, name: "tick", payload: null });
        await clock.advance("1m");
      }
      await fresh.run();
      await clock.advance("1m");
      await fresh.stop();
      return `${ran} runs`;
    },
  );
  row("it is retried, and set back while it waits", "run at 0, 20000, 30000", async (room) => {
    const at: number[] = [];
    const { queue, clock } = room;
    queue.on("job:odd", () => {
      at.push(Math.round(clock.monotonic()));
      throw new Error("no");
    });
    clock.jump(YEAR);
    await queue.addJob("odd", 1, { maxAttempts: 3, backoff: "10s" });
    await queue.run();
    await clock.advance(100);
    clock.jump(-YEAR);
    await clock.advance("1m");
    await queue.stop();
    return `run at ${at.join(", ")}`;
  });
  row(
    "50 jumps forth and back while it is retried",
    "4 runs, 0 waiting, 0 delayed, 0 active, 1 ended",
    async (room) => {
      const at: number[] = [];
      const { queue, clock } = room;
      queue.on("job:odd", () => {
        at.push(Math.round(clock.monotonic()));
        throw new Error("no");
      });
      await queue.addJob("odd", 1, { maxAttempts: 4, backoff: "10s" });
      await queue.run();
      for (let jump = 0; jump < 50; jump++) {
        clock.jump(jump % 2 ? -HOUR : HOUR);
        await clock.advance("1s");
      }
      await clock.advance("1m");
      await queue.stop();
      return `${at.length} runs, ${await standing(room)}`;
    },
  );
  row(
    "it is released, and set back while it waits",
    "3 runs, 0 waiting, 0 delayed, 0 active, 1 ended",
    async (room) => {
      let ran = 0;
      const { queue, clock } = room;
      queue.on("job:odd", (_, ctx) => {
        if (++ran < 3) ctx.release("20s");
      });
      clock.jump(YEAR);
      await queue.addJob("odd", 1);
      await queue.run();
      await clock.advance(100);
      clock.jump(-YEAR);
      await clock.advance("1m");
      await queue.stop();
      return `${ran} runs, ${await standing(room)}`;
    },
  );
  row(
    "it is promoted, updated or taken away meanwhile",
    "waiting delayed delayed cancelled gone; runs at 0, 1000, 3600000",
    async (room) => {
      const at = runs(room);
      const { queue, clock } = room;
      const ids = await ahead(room, YEAR, () =>
        queue.addJobs(Array.from({ length: 5 }, () => ({ name: "odd", payload: 1, delay: "1h" }))),
      );
      const [promoted = "", updated = "", raised = "", cancelled = "", removed = ""] = ids;
      const said = [
        await outcome(() => queue.promote(promoted)),
        await outcome(() => queue.update(updated, { delay: "1s" })),
        await outcome(() => queue.update(raised, { priority: 1 })),
        await outcome(() => queue.cancel(cancelled)),
        await outcome(() => queue.remove(removed)),
      ];
      await queue.run();
      await clock.advance("2h");
      await queue.stop();
      return `${said.map((reply) => JSON.parse(reply).state ?? "gone").join(" ")}; runs at ${at.join(", ")}`;
    },
  );
  row("a rate limit, set forth and back three times", "runs at 0, 0, 10000, 10000, 20000, 20000", async (room) => {
    const at = runs(room);
    const { queue, clock } = room;
    await queue.configure({ rateLimit: { max: 2, per: "10s" } });
    await queue.addJobs(Array.from({ length: 6 }, () => ({ name: "odd", payload: 1 })));
    await queue.run();
    for (const ms of [YEAR, -YEAR, HOUR, -HOUR, 2 * MINUTE, -2 * MINUTE]) {
      await clock.advance("1s");
      clock.jump(ms);
    }
    await clock.advance("1m");
    await queue.stop();
    return `runs at ${at.join(", ")}`;
  });
  row("600 that failed ahead are retried, and fail again", "600 retried, 1200 runs", async (room) => {
    const { queue, clock } = room;
    let ran = 0;
    queue.on("job:odd", () => {
      ran++;
      throw new Error("no");
    });
    await queue.configure({ keep: { failed: 1_000 } });
    await ahead(room, YEAR, async () => {
      await queue.addJobs(Array.from({ length: 600 }, () => ({ name: "odd", payload: 1, maxAttempts: 1 })));
      await queue.drain();
    });
    await queue.run({ concurrency: 100 });
    const { affected } = await queue.retryAll();
    await clock.advance("1m");
    await queue.stop();
    return `${affected} retried, ${ran} runs`;
  });
  row("a group of four delays, one of which runs", "0 1 2 3; 0 waiting, 0 delayed, 0 active, 4 ended", async (room) => {
    const { queue, clock } = room;
    const order: unknown[] = [];
    queue.on("job:odd", async (payload) => {
      order.push(payload);
      await new Promise<void>((resolve) => void clock.after(1_000, resolve));
    });
    clock.jump(YEAR);
    await queue.run();
    for (const payload of [0, 1, 2, 3])
      await queue.addJob("odd", payload, { group: { key: "g" }, delay: payload * 10 });
    await clock.advance(500);
    clock.jump(-YEAR);
    await clock.advance("30s");
    await queue.stop();
    return `${order.join(" ")}; ${await standing(room)}`;
  });
  row(
    "200 of a full group behind a job with a delay: no claim reads more than 10,000 records",
    "2 begun, 199 waiting",
    async (room) => {
      const { queue, clock } = room;
      let begun = 0;
      queue.on("job:odd", async () => {
        begun++;
        await new Promise<void>((resolve) => void clock.after(60_000, resolve));
      });
      await ahead(room, YEAR, () => queue.counts());
      await queue.addJob("odd", 1, { delay: "1d", priority: 5 });
      await queue.addJobs(Array.from({ length: 200 }, () => ({ name: "odd", payload: 1, group: { key: "g" } })));
      await queue.addJob("odd", 2);
      await queue.run({ concurrency: 2 });
      await clock.advance("1s");
      const { waiting } = await queue.counts();
      const stopped = queue.stop({ timeout: 0 });
      await clock.advance("2m");
      await stopped;
      return `${begun} begun, ${waiting} waiting`;
    },
  );
  // What returns from its group was due: it does not wait its delay once more.
  row(
    "100 of a group with a delay of a minute, which were due before",
    "100 ended within five minutes",
    async (room) => {
      const { queue, clock } = room;
      let ended = 0;
      queue.on("job:odd", async () => {
        await new Promise<void>((resolve) => void clock.after(1_000, resolve));
        ended++;
      });
      clock.jump(YEAR);
      const group = { key: "g" };
      await queue.addJobs(Array.from({ length: 100 }, () => ({ name: "odd", payload: 1, delay: "1m", group })));
      await queue.run();
      await clock.advance("62s");
      clock.jump(-YEAR);
      await clock.advance("5m");
      await queue.stop();
      return `${ended} ended within five minutes`;
    },
  );
  row("a successor with a delay", "1 2; 0 waiting, 0 delayed, 0 active, 2 ended", async (room) => {
    const { queue, clock } = room;
    const order: unknown[] = [];
    queue.on("job:odd", async (payload) => {
      order.push(payload);
      await new Promise<void>((resolve) => void clock.after(5_000, resolve));
    });
    const dedupe = { key: "k", mode: "replace" } as const;
    clock.jump(YEAR);
    await queue.addJob("odd", 1, { dedupe });
    await queue.run();
    await clock.advance(10);
    await queue.addJob("odd", 2, { dedupe, delay: "1s" });
    clock.jump(-YEAR);
    await clock.advance("1m");
    await queue.stop();
    return `${order.join(" ")}; ${await standing(room)}`;
  });
  row("a name that nobody knew, with a delay", "1 runs; 0 waiting, 0 delayed, 0 active, 1 ended", async (room) => {
    const { queue, clock } = room;
    queue.on("job:other", () => {});
    clock.jump(YEAR);
    await queue.addJob("odd", 1, { delay: "5s" });
    await queue.run();
    await clock.advance("10s");
    clock.jump(-YEAR);
    await clock.advance("10s");
    const at = runs(room);
    await clock.advance("10s");
    await queue.stop();
    return `${at.length} runs; ${await standing(room)}`;
  });
  row("a flow whose child has a delay", "runs at 7000, 9000; 0 waiting, 0 delayed, 0 active, 2 ended", async (room) => {
    const { queue, clock } = room;
    const at = runs(room);
    await ahead(room, YEAR, () =>
      queue.addFlow({
        name: "odd",
        payload: 1,
        delay: "2s",
        children: [{ name: "odd", payload: 2, delay: "7s" }],
      }),
    );
    await queue.run();
    await clock.advance("1m");
    await queue.stop();
    return `runs at ${at.join(", ")}; ${await standing(room)}`;
  });
  row("two queues of one worker, the second with a delay", "1 2", async (room) => {
    const { queue, clock, open, driver } = room;
    const other = open("other");
    await ahead(room, YEAR, async () => {
      await queue.addJob("odd", 1);
      await other.addJob("odd", 2, { delay: "3s" });
    });
    const seen: unknown[] = [];
    const run = (job: { payload: unknown }) => void seen.push(job.payload);
    const worker = new JobWorker(driver, { clock, queues: ["mail", "other"].map((name) => ({ name, run })) });
    worker.start();
    await clock.advance("10s");
    await worker.stop();
    return seen.join(" ");
  });
  row("what is kept is cleared by age", "0, then 1", async (room) => {
    runs(room);
    const { queue, clock } = room;
    await ahead(room, HOUR, async () => {
      await queue.addJob("odd", 1);
      await queue.drain();
    });
    const early = await queue.clear({ olderThan: "30m" });
    await clock.advance("2h");
    const late = await queue.clear({ olderThan: "30m" });
    return `${early.affected}, then ${late.affected}`;
  });
  row(
    "a wait of ten seconds for a job that never ends",
    "refused timeout: Job ID did not end within 10000 ms.",
    async (room) => {
      const { queue, clock } = room;
      const id = await queue.addJob("odd", 1, { delay: "1d" });
      clock.jump(YEAR);
      const waited = outcome(() => queue.waitFor(id, { timeout: "10s" }));
      await clock.advance("1s");
      clock.jump(-YEAR);
      await clock.advance("10s");
      return waited;
    },
  );
  row(
    "it times out while the clock is set back",
    "failed timeout: Job ID ran longer than its timeout of 5000 ms. (1 runs, 1 of 1)",
    async (room) => {
      const { clock } = room;
      const done = room.ends(
        (_, ctx) =>
          new Promise((_resolve, reject) => {
            ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason));
            clock.jump(-HOUR);
            void clock.after(0, () => void clock.advance("6s"));
          }),
        { timeout: "5s", maxAttempts: 1 },
      );
      await clock.advance("10s");
      return done;
    },
  );
  row(
    "what metrics say of a run across the jump",
    '{"processed":1,"failed":0,"retried":0,"waitMs":{"count":1,"p50":many,"p95":many,"p99":many,"max":many},"runMs":{"count":1,"p50":0,"p95":0,"p99":0,"max":0},"jobs":{"odd":{"processed":1,"failed":0,"retried":0,"waitMs":{"count":1,"p50":many,"p95":many,"p99":many,"max":many},"runMs":{"count":1,"p50":0,"p95":0,"p99":0,"max":0}}}}',
    async (room) => {
      const { queue, clock } = room;
      queue.on("job:odd", () => clock.jump(-HOUR));
      await ahead(room, HOUR, () => queue.addJob("odd", 1));
      clock.jump(2 * HOUR);
      await queue.drain();
      return JSON.stringify(queue.metrics()).replace(/\d{6,}/g, "many");
    },
  );
  row("ids of the same ms, before and after", "150 ids; 150 waiting, 0 delayed, 0 active, 0 ended", async (room) => {
    const { queue } = room;
    const add = () => queue.addJobs(Array.from({ length: 50 }, () => ({ name: "odd", payload: 1 })));
    const before = await ahead(room, HOUR, add);
    room.clock.jump(HOUR);
    const again = await add();
    room.clock.jump(-HOUR);
    const after = await add();
    return `${new Set([...before, ...again, ...after]).size} ids; ${await standing(room)}`;
  });
});

attacks("R24: recurrences on a clock that was ahead", (row) => {
  const rules: readonly (readonly [input: string, came: string, rule: object])[] = [
    ["every minute", "runs at minutes 1 2 3 4 5 6 7 8 9 10 11 12 13 15 16 17 18", { every: "1m" }],
    [
      "every minute, set again at each start",
      "runs at minutes 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
      { every: "1m", again: true },
    ],
    ["every minute, five times", "runs at minutes 1 2 3 4 5", { every: "1m", limit: 5 }],
    [
      "every minute, at once",
      "runs at minutes 0 1 2 3 4 5 6 7 8 9 10 11 12 13 15 16 17 18",
      { every: "1m", immediately: true },
    ],
    [
      "every minute, one at a time",
      "runs at minutes 1 2 3 4 5 6 7 8 9 10 11 12 13 15 16 17 18",
      { every: "1m", overlap: "skip" },
    ],
    ["cron of each minute", "runs at minutes 1 2 3 4 5 6 7 8 9 10 11 12 13 15 16 17 18", { cron: "* * * * *" }],
    [
      "cron of each minute, set again at each start",
      "runs at minutes 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
      { cron: "* * * * *", again: true },
    ],
    ["every minute from an hour later", "runs at minutes ", { every: "1m", startAt: Date.UTC(2026, 0, 1, 1) }],
    ["every minute until an hour later", "runs at minutes 1 2 3 4", { every: "1m", endAt: Date.UTC(2026, 0, 1, 1) }],
  ];
  for (const [input, came, { again, ...rule }] of rules as readonly (readonly [string, string, { again?: boolean }])[])
    row(`${input}, a year ahead for ten minutes`, came, async (room) => {
      const { queue, clock } = room;
      const at = runs(room);
      const set = () => queue.schedule("k", { ...odd(rule), name: "odd", payload: 1 });
      await set();
      await queue.run();
      await clock.advance("3m");
      clock.jump(YEAR);
      if (again) await set();
      await clock.advance("10m");
      clock.jump(-YEAR);
      if (again) await set();
      await clock.advance("5m");
      await queue.stop();
      return `runs at minutes ${at.map((ms) => Math.round(ms / 600) / 100).join(" ")}`;
    });
  row("its pending occurrence is cleared after the jump", "runs at 60000, 120000, 180000", async (room) => {
    const { queue, clock } = room;
    const at = runs(room);
    await ahead(room, YEAR, () => queue.schedule("k", { every: "1m", name: "odd", payload: 1 }));
    await queue.clear("delayed");
    await queue.run();
    await clock.advance("3m");
    await queue.stop();
    return `runs at ${at.join(", ")}`;
  });
  row("its pending occurrence is promoted after the jump", "runs at 0, 60000, 120000, 180000", async (room) => {
    const { queue, clock } = room;
    const at = runs(room);
    await ahead(room, YEAR, () => queue.schedule("k", { every: "1m", name: "odd", payload: 1 }));
    const { jobs } = await queue.list({ state: "delayed" });
    await queue.promote(jobs[0]?.id ?? "");
    await queue.run();
    await clock.advance("3m");
    await queue.stop();
    return `runs at ${at.join(", ")}`;
  });
  row("it is taken away after the jump", "true; 0 waiting, 0 delayed, 0 active, 0 ended", async (room) => {
    const { queue } = room;
    runs(room);
    await ahead(room, YEAR, () => queue.schedule("k", { every: "1m", name: "odd", payload: 1 }));
    const gone = await queue.unschedule("k");
    await drain(queue, { clock: room.clock, until: HOUR });
    return `${gone}; ${await standing(room)}`;
  });
});
