import { memoryDriver, Queue, QueueManager } from "@quayside/core";
import { JobWorker } from "@quayside/core/engine";
import { attacks, odd, outcome, type Room } from "./kit.ts";

const counts = async ({ queue }: Room): Promise<string> => {
  const { waiting, delayed, active, completed, failed } = await queue.counts();
  return `waiting ${waiting}, delayed ${delayed}, active ${active}, completed ${completed}, failed ${failed}`;
};

/** Calls of many, without waiting between them; how each ended. */
const all = async (...calls: readonly (() => unknown)[]): Promise<string> =>
  (await Promise.all(calls.map((call) => outcome(call)))).join("; ");

const add = ({ queue }: Room, payloads = 3) =>
  queue.addJobs(Array.from({ length: payloads }, (_, payload) => ({ name: "odd", payload })));

/** Handles "odd" and counts its runs. */
const counting = ({ queue }: Room) => {
  const runs = { count: 0 };
  queue.on("job:odd", () => void runs.count++);
  return runs;
};

attacks("G: sequences of run, stop, drain, process and close", (row) => {
  row("stop() of a queue that never ran", "done", (room) => outcome(() => room.queue.stop()));
  row(
    "stop() a hundred times at once",
    "1 kind of end, waiting 0, delayed 0, active 0, completed 0, failed 0",
    async (room) => {
      counting(room);
      await room.queue.run();
      const ends = await all(...Array.from({ length: 100 }, () => () => room.queue.stop()));
      return `${new Set(ends.split("; ")).size} kind of end, ${await counts(room)}`;
    },
  );
  row(
    "run() a hundred times at once",
    "3 runs, waiting 0, delayed 0, active 0, completed 3, failed 0",
    async (room) => {
      const runs = counting(room);
      await add(room);
      await Promise.all(Array.from({ length: 100 }, () => room.queue.run()));
      await room.queue.drain();
      await room.queue.stop();
      return `${runs.count} runs, ${await counts(room)}`;
    },
  );
  row(
    "drain() a hundred times at once",
    "3 runs, waiting 0, delayed 0, active 0, completed 3, failed 0",
    async (room) => {
      const runs = counting(room);
      await add(room);
      await Promise.all(Array.from({ length: 100 }, () => room.queue.drain()));
      return `${runs.count} runs, ${await counts(room)}`;
    },
  );
  row(
    "run() and stop() a hundred times in turn, then drain()",
    "3 runs, waiting 0, delayed 0, active 0, completed 3, failed 0",
    async (room) => {
      const runs = counting(room);
      await add(room);
      const calls = Array.from({ length: 100 }, (_, n) => (n % 2 ? room.queue.stop() : room.queue.run()));
      await Promise.all(calls);
      await room.queue.drain();
      return `${runs.count} runs, ${await counts(room)}`;
    },
  );
  row("drain(), and close() of the driver at once", "refused closed: This store is closed.; done", async (room) => {
    counting(room);
    const driver = memoryDriver({ clock: room.clock });
    const queue = new Queue("mail", driver, { clock: room.clock });
    queue.on("error", () => {});
    queue.on("job:odd", () => {});
    return all(
      () => queue.drain(),
      () => driver.close(),
    );
  });
  row("close() twice", "done; done", (room) => {
    const driver = memoryDriver({ clock: room.clock });
    return all(
      () => driver.close(),
      () => driver.close(),
    );
  });
  row("every verb of a closed driver", "closed, but for: stop done", async (room) => {
    const driver = memoryDriver({ clock: room.clock });
    const queue = new Queue("mail", driver, { clock: room.clock });
    queue.on("error", () => {});
    await driver.close();
    const calls = {
      addJob: () => queue.addJob("odd", 1),
      addFlow: () => queue.addFlow({ name: "odd", payload: 1 }),
      list: () => queue.list(),
      counts: () => queue.counts(),
      get: () => queue.get("x"),
      cancel: () => queue.cancel("x"),
      clear: () => queue.clear(),
      retryAll: () => queue.retryAll(),
      pause: () => queue.pause(),
      configure: () => queue.configure({ maxActive: 1 }),
      schedule: () => queue.schedule("k", { every: "1m", name: "odd", payload: 1 }),
      unschedule: () => queue.unschedule("k"),
      schedules: () => queue.schedules(),
      waitFor: () => queue.waitFor("x"),
      nextWake: () => driver.nextWake(["mail"]),
      run: () => queue.run(),
      drain: () => queue.drain(),
      stop: () => queue.stop(),
    };
    const ends: string[] = [];
    for (const [name, call] of Object.entries(calls)) {
      const end = await outcome(call);
      if (!end.startsWith("refused closed")) ends.push(`${name} ${end}`);
    }
    return `closed, but for: ${ends.join(", ")}`;
  });
  row("watch() of a closed driver", "function", async (room) => {
    const driver = memoryDriver({ clock: room.clock });
    await driver.close();
    return outcome(() => typeof driver.watch(() => {}));
  });
  row("stop({ timeout: -1 }) while it runs", "refused invalid_option, names timeout; 1 runs", async (room) => {
    const runs = counting(room);
    await room.queue.run();
    const end = await outcome(() => room.queue.stop({ timeout: -1 }));
    await add(room, 1);
    await room.clock.advance(1);
    await room.queue.stop();
    return `${end}; ${runs.count} runs`;
  });
  row("stop({ timeout: 'soon' }) of a queue that never ran", "done", (room) =>
    outcome(() => room.queue.stop({ timeout: odd("soon") })),
  );
  row("stop(null)", "refused invalid_option, names options", async (room) => {
    counting(room);
    await room.queue.run();
    const end = await outcome(() => room.queue.stop(odd(null)));
    await room.queue.stop();
    return end;
  });
  row("run(null)", "refused invalid_option, names options", (room) => outcome(() => room.queue.run(odd(null))));
  row("drain(null)", "refused invalid_option, names options", (room) => outcome(() => room.queue.drain(odd(null))));
  row(
    "run() without any handler, with jobs",
    "1 fault told, waiting 3, delayed 0, active 0, completed 0, failed 0",
    async (room) => {
      await add(room);
      await room.queue.run();
      await room.clock.advance(60_000);
      await room.queue.stop();
      return `${room.faults.length} fault told, ${await counts(room)}`;
    },
  );
  row(
    "the handler is taken out while its job runs",
    "waiting 1, delayed 0, active 0, completed 1, failed 0",
    async (room) => {
      const off = room.queue.on("job:odd", () => {
        off();
        return "done";
      });
      await add(room, 2);
      await room.queue.drain({ concurrency: 1 });
      return counts(room);
    },
  );
  row(
    "a handler that registers itself again",
    "7 runs, waiting 0, delayed 0, active 0, completed 3, failed 0",
    async (room) => {
      let runs = 0;
      const run = () => {
        runs++;
        room.queue.on("job:odd", run);
      };
      room.queue.on("job:odd", run);
      await add(room, 3);
      await room.queue.drain({ concurrency: 1 });
      return `${runs} runs, ${await counts(room)}`;
    },
  );
  row("the function that undoes on(), called twice", "second", async (room) => {
    const off = room.queue.on("job:odd", () => "first");
    room.queue.on("job:odd", () => "second");
    off();
    off();
    const [id] = await add(room, 1);
    await room.queue.drain();
    return `${(await room.queue.get(id as string))?.result}`;
  });
  row("a handler that cancels its own job", "completed with done (1 runs, 1 of 2)", (room) =>
    room.ends(async (_, ctx) => {
      await room.queue.cancel(ctx.id);
      return "done";
    }),
  );
  row("a handler that removes its own job", "gone", (room) =>
    room.ends(async (_, ctx) => {
      await room.queue.remove(ctx.id);
    }),
  );
  row(
    "a handler that retries its own job",
    "failed conflict: Job ID is active: only a failed or cancelled job can be retried. (2 runs, 2 of 2)",
    (room) =>
      room.ends(async (_, ctx) => {
        await room.queue.retry(ctx.id);
      }),
  );
  row(
    "a handler that updates its own job",
    "failed conflict: Job ID is active: only a waiting or delayed job can be updated. (2 runs, 2 of 2)",
    (room) =>
      room.ends(async (_, ctx) => {
        await room.queue.update(ctx.id, { payload: 2 });
      }),
  );
  row("a handler that waits for its own job", "completed with refused timeout (1 runs, 1 of 2)", (room) =>
    room.ends((_, ctx) => {
      const waited = room.queue.waitFor(ctx.id, { timeout: "1s" });
      const ends = outcome(() => waited);
      void room.clock.advance("2s");
      return ends.then((end) => end.slice(0, 15));
    }),
  );
  row(
    "a handler that clears its own queue",
    "1 runs, waiting 0, delayed 0, active 0, completed 0, failed 0",
    async (room) => {
      let runs = 0;
      room.queue.on("job:odd", async () => {
        runs++;
        await room.queue.clear();
      });
      await add(room, 5);
      await room.queue.drain({ concurrency: 1 });
      return `${runs} runs, ${await counts(room)}`;
    },
  );
  row(
    "a handler that pauses its queue",
    "1 runs, waiting 4, delayed 0, active 0, completed 1, failed 0",
    async (room) => {
      let runs = 0;
      room.queue.on("job:odd", async () => {
        runs++;
        await room.queue.pause();
      });
      await add(room, 5);
      await room.queue.drain({ concurrency: 1 });
      return `${runs} runs, ${await counts(room)}`;
    },
  );
  row("a handler that closes its driver", "refused closed; 1 runs", async (room) => {
    const driver = memoryDriver({ clock: room.clock });
    const queue = new Queue("mail", driver, { clock: room.clock });
    queue.on("error", () => {});
    let runs = 0;
    queue.on("job:odd", async () => {
      runs++;
      void driver.close();
    });
    await queue.addJob("odd", 1);
    return `${(await outcome(() => queue.drain())).slice(0, 14)}; ${runs} runs`;
  });
  row("a handler that adds its own job again, by id", "completed with true (1 runs, 1 of 2)", (room) =>
    room.ends(async (_, ctx) => (await room.queue.addJob("odd", 2, { id: ctx.id })) === ctx.id, { id: "one" }),
  );
  row("maxJobs 1 of three, then drain() twice more", "1, 2, 3", async (room) => {
    const runs = counting(room);
    await add(room);
    const seen: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      await room.queue.drain({ maxJobs: 1 });
      seen.push(runs.count);
    }
    return seen.join(", ");
  });
  row(
    "processNext() twice at once",
    "true; refused conflict: processNext() is for a worker that is not started.; waiting 1, delayed 0, active 0, completed 1, failed 0",
    async (room) => {
      await add(room, 2);
      const worker = new JobWorker(room.driver, { clock: room.clock, queues: [{ name: "mail", run: () => "done" }] });
      return `${await all(
        () => worker.processNext(),
        () => worker.processNext(),
      )}; ${await counts(room)}`;
    },
  );
  row(
    "processNext() of a queue that it does not work",
    "false; waiting 1, delayed 0, active 0, completed 0, failed 0",
    async (room) => {
      await add(room, 1);
      const worker = new JobWorker(room.driver, { clock: room.clock, queues: [{ name: "mail", run: () => "done" }] });
      return `${await outcome(() => worker.processNext("other"))}; ${await counts(room)}`;
    },
  );
  row(
    "processNext() of a worker that runs",
    "refused conflict: processNext() is for a worker that is not started.",
    async (room) => {
      const worker = new JobWorker(room.driver, { clock: room.clock, queues: [{ name: "mail", run: () => "done" }] });
      await worker.start();
      const end = await outcome(() => worker.processNext());
      await worker.stop();
      return end;
    },
  );
  const managed = (room: Room) => {
    const manager = new QueueManager({ clock: room.clock, driver: room.driver, queues: { mail: {} } });
    manager.on("error", () => {});
    let runs = 0;
    manager.registerJob({ name: "odd", queue: "mail", handler: () => void runs++ });
    return { manager, runs: () => runs };
  };
  const processes: readonly (readonly [input: string, came: string, options: unknown])[] = [
    ["process({ count: 0 })", "0; 0 runs", { count: 0 }],
    ["process({ count: -1 })", "refused invalid_option, names count; 0 runs", { count: -1 }],
    ["process({ count: NaN })", "refused invalid_option, names count; 0 runs", { count: Number.NaN }],
    ["process({ count: 1.5 })", "refused invalid_option, names count; 0 runs", { count: 1.5 }],
    ["process({ count: '2' })", "refused invalid_option, names count; 0 runs", { count: "2" }],
    ["process({ count: null })", "refused invalid_option, names count; 0 runs", { count: null }],
    ["process({ queue: 'none' })", "0; 0 runs", { queue: "none" }],
    ["process({ queue: 7 })", "0; 0 runs", { queue: 7 }],
    ["process(null)", "refused invalid_option, names options; 0 runs", null],
    ["process('mail')", "refused invalid_option, names options; 0 runs", "mail"],
  ];
  for (const [input, came, options] of processes)
    row(input, came, async (room) => {
      const { manager, runs } = managed(room);
      await add(room, 3);
      const end = await outcome(() => manager.process(odd(options)));
      return `${end}; ${runs()} runs`;
    });
  row(
    "process() twice at once",
    "1; refused conflict: processNext() is for a worker that is not started.; 1 runs",
    async (room) => {
      const { manager, runs } = managed(room);
      await add(room, 3);
      return `${await all(
        () => manager.process(),
        () => manager.process(),
      )}; ${runs()} runs`;
    },
  );
  row(
    "start(), stop(), drain() and start() of a manager at once",
    "done; done; done; done; running; 3 runs",
    async (room) => {
      const { manager, runs } = managed(room);
      await add(room, 3);
      const ends = await all(
        () => manager.start(),
        () => manager.stop(),
        () => manager.drain(),
        () => manager.start(),
      );
      await room.clock.advance(1);
      const end = `${ends}; ${manager.status}; ${runs()} runs`;
      await manager.stop();
      return end;
    },
  );
  row("start() of a manager without any connection", "done", (room) => {
    const manager = new QueueManager({ clock: room.clock });
    manager.on("error", () => {});
    return outcome(() => manager.start());
  });
  row("drain() of a manager whose only driver is closed", "refused closed; stopped", async (room) => {
    const driver = memoryDriver({ clock: room.clock });
    const manager = new QueueManager({ clock: room.clock, driver, queues: { mail: {} } });
    manager.on("error", () => {});
    await driver.close();
    return `${(await outcome(() => manager.drain())).slice(0, 14)}; ${manager.status}`;
  });
  row(
    "the clock is set back a year while it runs",
    "3 runs, waiting 0, delayed 0, active 0, completed 3, failed 0",
    async (room) => {
      const runs = counting(room);
      await room.queue.run();
      room.clock.jump(-365 * 86_400_000);
      await add(room);
      await room.clock.advance(1_000);
      await room.queue.stop();
      return `${runs.count} runs, ${await counts(room)}`;
    },
  );
  row("the clock is set forward ten years while a handler runs", "completed with done (1 runs, 1 of 2)", (room) =>
    room.ends(async () => {
      room.clock.jump("520w");
      await room.clock.advance(60_000);
      return "done";
    }),
  );
});
