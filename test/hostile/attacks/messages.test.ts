import { defineJobs, Job, Queue, QueueManager, type QueueManagerOptions, RetryAfterError, toMs } from "@quayside/core";
import { JobWorker } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { attacks, outcome, type Room } from "./kit.ts";

/** A value where another is wanted: what callers without types may pass. */
const odd = (value: unknown): never => value as never;

class Named extends Job {
  static readonly jobName = "named";
  handle(): unknown {
    return "ran";
  }
}
class Nameless extends Job {
  handle(): unknown {
    return "ran";
  }
}

attacks("N: what messages say of wrong arguments", (row) => {
  const calls: readonly (readonly [input: string, came: string, call: (room: Room) => unknown])[] = [
    [
      "new Queue() without a driver",
      "refused invalid_option, names driver",
      () => new Queue("mail", odd(undefined)) && "made",
    ],
    [
      "new Queue() on a promise of a driver",
      "refused invalid_option, names driver",
      ({ driver }) => new Queue("mail", odd(Promise.resolve(driver))) && "made",
    ],
    [
      "new Queue() on the function that makes a driver",
      "refused invalid_option, names driver",
      () =>
        new Queue(
          "mail",
          odd(() => {}),
        ) && "made",
    ],
    [
      "new Queue() with options null",
      "refused invalid_option, names options",
      ({ driver }) => new Queue("mail", driver, odd(null)) && "made",
    ],
    [
      "new Queue() with options of a text",
      "refused invalid_option, names options",
      ({ driver }) => new Queue("mail", driver, odd("x")) && "made",
    ],
    [
      "new Queue() with jobs of a plain object",
      "refused invalid_option, names jobs",
      ({ driver }) => new Queue("mail", driver, { jobs: { odd: {} } }) && "made",
    ],
    [
      "new Queue() with jobs of a text",
      "refused invalid_option, names jobs",
      ({ driver }) => new Queue("mail", driver, { jobs: odd("x") }) && "made",
    ],
    [
      "new Queue() with payloadLimit 0",
      "refused invalid_option, names payloadLimit",
      ({ driver }) => new Queue("mail", driver, { payloadLimit: 0 }) && "made",
    ],
    [
      "new Queue() with payloadLimit of a text",
      "refused invalid_option, names payloadLimit",
      ({ driver }) => new Queue("mail", driver, { payloadLimit: odd("1kB") }) && "made",
    ],
    [
      "new Queue() with middleware of a function",
      "refused invalid_option, names middleware",
      ({ driver }) => new Queue("mail", driver, { middleware: odd(() => {}) }) && "made",
    ],
    [
      "new Queue() with middleware of a list of texts",
      "refused invalid_option, names middleware[0]",
      ({ driver }) => new Queue("mail", driver, { middleware: odd(["x"]) }) && "made",
    ],
    [
      "new Queue() with a clock that is a Date",
      "refused invalid_option, names clock",
      ({ driver }) => new Queue("mail", driver, { clock: odd(new Date()) }) && "made",
    ],
    [
      "new Queue() with encryption of a text",
      "refused invalid_option, names encryption",
      ({ driver }) => new Queue("mail", driver, { encryption: odd("secret") }) && "made",
    ],
    [
      "new Queue() with defaults of a number",
      "refused invalid_option, names options",
      ({ driver, clock }) => new Queue("mail", driver, { clock, defaults: odd(5) }).addJob("odd", 1),
    ],
    [
      "new Queue() with a default that there is not",
      "refused invalid_option, names speed",
      ({ driver, clock }) => new Queue("mail", driver, { clock, defaults: odd({ speed: 1 }) }).addJob("odd", 1),
    ],
    ["defineJobs(null)", "[]", () => Object.keys(defineJobs(odd(null)))],
    [
      "defineJobs of a definition that is null",
      "ID",
      ({ driver, clock }) =>
        new Queue("mail", driver, { clock, jobs: defineJobs({ odd: odd(null) }) }).addJob("odd", odd(1)),
    ],
    [
      "a schema that is none",
      "refused invalid_option, names odd.input",
      ({ driver, clock }) =>
        new Queue("mail", driver, { clock, jobs: defineJobs({ odd: { input: odd({}) } }) }).addJob("odd", odd(1)),
    ],
    [
      "a name that is not in the job map",
      'refused unknown_job: There is no job "even" in the job map. Known are odd.',
      ({ driver, clock }) =>
        new Queue("mail", driver, { clock, jobs: defineJobs({ odd: {} }) }).addJob(odd("even"), odd(1)),
    ],
    ["on(undefined)", "refused invalid_option, names event", ({ queue }) => queue.on(odd(undefined), () => {})],
    ["on(7)", "refused invalid_option, names event", ({ queue }) => queue.on(odd(7), () => {})],
    ["on('done')", "refused invalid_option, names event", ({ queue }) => queue.on(odd("done"), () => {})],
    ["on('job:') of an empty name", "function", ({ queue }) => typeof queue.on("job:", () => {})],
    [
      "on() without a listener",
      'refused invalid_option: on("idle") needs a function, got undefined.',
      ({ queue }) => queue.on("idle", odd(undefined)),
    ],
    ["use() of a text", "refused invalid_option, names middleware", ({ queue }) => queue.use(odd("x"))],
    [
      "with(null)",
      "added",
      ({ queue }) =>
        queue
          .with(odd(null))
          .addJob("odd", 1)
          .then(() => "added"),
    ],
    ["delay('soon')", "refused invalid_option, names delay", ({ queue }) => queue.delay(odd("soon")).addJob("odd", 1)],
    [
      "run({ concurrency: 0 })",
      "refused invalid_option, names concurrency",
      ({ queue }) => queue.run({ concurrency: 0 }),
    ],
    [
      "run({ concurrency: '5' })",
      "refused invalid_option, names concurrency",
      ({ queue }) => queue.run({ concurrency: odd("5") }),
    ],
    ["run({ lease: 99 })", "refused invalid_option, names lease", ({ queue }) => queue.run({ lease: 99 })],
    ["run({ lease: 'long' })", "refused invalid_option, names lease", ({ queue }) => queue.run({ lease: odd("long") })],
    ["run({ prefetch: -1 })", "refused invalid_option, names prefetch", ({ queue }) => queue.run({ prefetch: -1 })],
    ["run({ maxJobs: 0 })", "refused invalid_option, names maxJobs", ({ queue }) => queue.run({ maxJobs: 0 })],
    ["run({ sleep: -1 })", "refused invalid_option, names sleep", ({ queue }) => queue.run({ sleep: -1 })],
    ["run({ name: '' })", "refused invalid_option, names name", ({ queue }) => queue.run({ name: "" })],
    [
      "run({ connectivity: true })",
      "refused invalid_option, names connectivity",
      async ({ queue }) => {
        await queue.run({ connectivity: odd(true) });
        await queue.stop();
      },
    ],
    [
      "run({ speed: 1 }), a word that is not known",
      "refused invalid_option, names speed",
      async ({ queue }) => {
        await queue.run(odd({ speed: 1 }));
        await queue.stop();
      },
    ],
    ["addJobs(null)", "refused invalid_option, names jobs", ({ queue }) => queue.addJobs(odd(null))],
    ["addJobs of a text", "refused invalid_option, names jobs", ({ queue }) => queue.addJobs(odd("jobs"))],
    ["addJobs of nothing", "[]", ({ queue }) => queue.addJobs([])],
    [
      "addJobs of null in a list",
      "refused invalid_option, names job",
      ({ queue }) => queue.addJobs([{ name: "odd", payload: 1 }, odd(null)]),
    ],
    ["addJobs with a hole", "refused invalid_option, names job", ({ queue }) => queue.addJobs(new Array(2))],
    [
      "addJobs with options in an object of their own",
      "refused invalid_option, names options",
      ({ queue }) => queue.addJobs([odd({ name: "odd", payload: 1, options: { priority: 1 } })]),
    ],
    [
      "update() of nothing",
      '{"affected":1,"state":"waiting"}',
      async ({ queue }) => queue.update(await queue.addJob("odd", 1), {}),
    ],
    [
      "update(null)",
      "refused invalid_option, names change",
      async ({ queue }) => queue.update(await queue.addJob("odd", 1), odd(null)),
    ],
    [
      "update() with a priority of text",
      "refused invalid_option, names priority",
      async ({ queue }) => queue.update(await queue.addJob("odd", 1), { priority: odd("high") }),
    ],
    [
      "update() with a delay of null",
      "refused invalid_option, names delay",
      async ({ queue }) => queue.update(await queue.addJob("odd", 1), { delay: odd(null) }),
    ],
    [
      "update() with a payload of NaN",
      "refused invalid_payload, names payload",
      async ({ queue }) => queue.update(await queue.addJob("odd", 1), { payload: Number.NaN }),
    ],
    [
      "update() of a job that there is not",
      "refused job_not_found: Queue mail has no job none.",
      ({ queue }) => queue.update("none", { priority: 1 }),
    ],
    [
      "waitFor() with a timeout of null",
      "refused invalid_option, names timeout",
      ({ queue }) => queue.waitFor("none", { timeout: odd(null) }),
    ],
    [
      "waitFor() with a signal that is none",
      "refused invalid_option, names signal",
      async ({ queue }) => queue.waitFor(await queue.addJob("odd", 1), { signal: odd({}), timeout: 1 }),
    ],
    [
      "waitFor() with a signal that is aborted",
      "rejects with enough",
      async ({ queue }) =>
        queue
          .waitFor(await queue.addJob("odd", 1), { signal: AbortSignal.abort("enough") })
          .catch((reason) => `rejects with ${reason}`),
    ],
    [
      "waitFor() of a job that there is not",
      "refused job_not_found: There is no job none, or it has ended and was not kept (keep).",
      ({ queue }) => queue.waitFor("none"),
    ],
    [
      "watch() of no function",
      "refused invalid_option, names listener",
      async ({ queue }) => {
        queue.watch(odd(undefined));
        await queue.addJob("odd", 1);
      },
    ],
    [
      "new JobWorker() without options",
      "refused invalid_option, names options",
      ({ driver }) => new JobWorker(driver, odd(undefined)) && "made",
    ],
    [
      "new JobWorker() without queues",
      "refused invalid_option, names queues",
      ({ driver }) => new JobWorker(driver, odd({})) && "made",
    ],
    [
      "new JobWorker() of queues of texts",
      "refused invalid_option, names queues",
      ({ driver, clock }) => new JobWorker(driver, { clock, queues: odd(["mail"]) }) && "made",
    ],
    [
      "new JobWorker() of a queue without run",
      "refused invalid_option, names run",
      ({ driver, clock }) => new JobWorker(driver, { clock, queues: odd([{ name: "mail" }]) }) && "made",
    ],
    [
      "new JobWorker() of a queue without a name",
      "refused invalid_option, names queue name",
      ({ driver, clock }) => new JobWorker(driver, { clock, queues: odd([{ run: () => {} }]) }) && "made",
    ],
    [
      "new JobWorker() of a queue of concurrency 0",
      "refused invalid_option, names queues[0].concurrency",
      ({ driver, clock }) =>
        new JobWorker(driver, { clock, queues: [{ name: "mail", run: () => {}, concurrency: 0 }] }) && "made",
    ],
    [
      "new JobWorker() of no queues",
      "done",
      ({ driver, clock }) => new JobWorker(driver, { clock, queues: [] }).drain(),
    ],
    [
      "worker.on() of an event that there is not",
      "refused invalid_option, names event",
      ({ driver, clock }) => new JobWorker(driver, { clock, queues: [] }).on(odd("done"), () => {}),
    ],
    ["new QueueManager(null)", "refused invalid_option, names options", () => new QueueManager(odd(null)) && "made"],
    [
      "addConnection() without a driver",
      "refused invalid_option, names driver",
      ({ clock }) => new QueueManager({ clock }).addConnection("a", odd(undefined)) && "made",
    ],
    [
      "addConnection() of a name that is a number",
      "refused invalid_option, names connection",
      ({ clock, driver }) => new QueueManager({ clock }).addConnection(odd(7), driver) && "made",
    ],
    [
      "addConnection() twice",
      'refused conflict: There is a connection named "default" already.',
      ({ clock, driver }) => new QueueManager({ clock, driver }).addConnection("default", driver) && "made",
    ],
    [
      "connection() of none",
      "refused invalid_option, names connection",
      ({ clock, driver }) => new QueueManager({ clock, driver }).connection("other") && "made",
    ],
    [
      "connection() of a manager without any",
      "refused invalid_option, names connection",
      ({ clock }) => new QueueManager({ clock }).connection() && "made",
    ],
    [
      "setDefaultConnection() of none",
      "refused invalid_option, names connection",
      ({ clock, driver }) => new QueueManager({ clock, driver }).setDefaultConnection("other"),
    ],
    [
      "defaultQueue: empty",
      "refused invalid_option, names queue name",
      ({ clock, driver }) => new QueueManager({ clock, driver, defaultQueue: "" }).enqueue({ name: "odd", payload: 1 }),
    ],
    [
      "defaultQueue set to a number",
      "refused invalid_option, names defaultQueue",
      ({ clock, driver }) => {
        new QueueManager({ clock, driver }).defaultQueue = odd(7);
      },
    ],
    [
      "registerJob(null)",
      "refused invalid_option, names registration",
      ({ clock, driver }) => new QueueManager({ clock, driver }).registerJob(odd(null)),
    ],
    [
      "registerJob() without a name",
      "refused invalid_option, names job name",
      ({ clock, driver }) => typeof new QueueManager({ clock, driver }).registerJob(odd({ handler: () => {} })),
    ],
    [
      "registerJob() without a handler",
      "function",
      ({ clock, driver }) => typeof new QueueManager({ clock, driver }).registerJob(odd({ name: "odd" })),
    ],
    [
      "registerJob() with a handler of text",
      "refused invalid_option, names odd.handler",
      ({ clock, driver }) =>
        typeof new QueueManager({ clock, driver }).registerJob(odd({ name: "odd", handler: "run" })),
    ],
    [
      "register() of no class",
      "refused invalid_option, names jobName",
      ({ clock, driver }) => new QueueManager({ clock, driver }).register(odd(undefined)),
    ],
    [
      "register() of a class without a jobName",
      "refused invalid_option, names jobName",
      ({ clock, driver }) => new QueueManager({ clock, driver }).register(odd(Nameless)),
    ],
    [
      "register() of a plain function",
      "refused invalid_option, names jobName",
      ({ clock, driver }) => new QueueManager({ clock, driver }).register(odd(() => {})),
    ],
    [
      "dispatch() of a class that is not registered",
      "refused unknown_job: Job class Named is not registered: call manager.register(Named) before it is dispatched.",
      () => Named.dispatch(1),
    ],
    [
      "dispatch(null)",
      "refused invalid_option, names job",
      ({ clock, driver }) => new QueueManager({ clock, driver }).dispatch(odd(null)),
    ],
    [
      "dispatch() of a plain object",
      "refused invalid_option, names jobName",
      ({ clock, driver }) => new QueueManager({ clock, driver }).dispatch(odd({ payload: 1 })),
    ],
    [
      "dispatch() of the class, not an instance",
      "refused invalid_option, names job",
      ({ clock, driver }) => new QueueManager({ clock, driver }).dispatch(odd(Named)),
    ],
    [
      "make() of a name that there is not",
      'refused unknown_job: No job class has the jobName "none".',
      ({ clock, driver }) => new QueueManager({ clock, driver }).make("none", 1),
    ],
    [
      "enqueue(null)",
      "refused invalid_option, names job",
      ({ clock, driver }) => new QueueManager({ clock, driver }).enqueue(odd(null)),
    ],
    [
      "enqueue() without a name",
      "refused invalid_option, names job name",
      ({ clock, driver }) => new QueueManager({ clock, driver }).enqueue(odd({ payload: 1 })),
    ],
    [
      "enqueueAll(null)",
      "refused invalid_option, names jobs",
      ({ clock, driver }) => new QueueManager({ clock, driver }).enqueueAll(odd(null)),
    ],
    [
      "enqueue() to a connection that there is not",
      "refused invalid_option, names connection",
      ({ clock, driver }) =>
        new QueueManager({ clock, driver }).enqueue({ name: "odd", payload: 1, connection: "other" }),
    ],
    [
      "publish(null)",
      "refused invalid_option, names job",
      ({ clock, driver }) => new QueueManager({ clock, driver }).publish(odd(null)),
    ],
    [
      "publish() without queues",
      "refused invalid_option, names queues",
      ({ clock, driver }) => new QueueManager({ clock, driver }).publish(odd({ name: "odd", payload: 1 })),
    ],
    [
      "publish() to queues of a text",
      "refused invalid_option, names queues",
      ({ clock, driver }) =>
        new QueueManager({ clock, driver }).publish(odd({ name: "odd", payload: 1, queues: "mail" })),
    ],
    [
      "publish() to no queues",
      "[]",
      ({ clock, driver }) => new QueueManager({ clock, driver }).publish({ name: "odd", payload: 1, queues: [] }),
    ],
    [
      "manager.queue(7)",
      "refused invalid_option, names queue name",
      ({ clock, driver }) => new QueueManager({ clock, driver }).queue(odd(7)) && "made",
    ],
    [
      "manager.stop(null)",
      "refused invalid_option, names options",
      ({ clock, driver }) => new QueueManager({ clock, driver }).stop(odd(null)),
    ],
    [
      "manager.on() of no event",
      "refused invalid_option, names event",
      ({ clock, driver }) => new QueueManager({ clock, driver }).on(odd("done"), () => {}),
    ],
    [
      "ctx.enqueue(null)",
      "failed invalid_option: job must be an object, got null. (2 runs, 2 of 2)",
      (room) => room.ends((_, ctx) => ctx.enqueue(odd(null))),
    ],
    [
      "ctx.enqueue() without a name",
      "failed invalid_option: job name must be a string of 1 to 256 characters of well-formed Unicode, got undefined. (2 runs, 2 of 2)",
      (room) => room.ends((_, ctx) => ctx.enqueue(odd({ payload: 1 }))),
    ],
    [
      "ctx.publish(null)",
      "failed invalid_option: job must be an object, got null. (2 runs, 2 of 2)",
      (room) => room.ends((_, ctx) => ctx.publish(odd(null))),
    ],
    [
      "ctx.publish() without queues",
      "failed invalid_option: queues must be a list, got undefined. (2 runs, 2 of 2)",
      (room) => room.ends((_, ctx) => ctx.publish(odd({ name: "even", payload: 1 }))),
    ],
    [
      "ctx.addFlow(null)",
      "failed invalid_option: flow must be an object, got null. (2 runs, 2 of 2)",
      (room) => room.ends((_, ctx) => ctx.addFlow(odd(null))),
    ],
    [
      "ctx.enqueue() without awaiting it, refused",
      "completed with done (1 runs, 1 of 2)",
      (room) =>
        room.ends((_, ctx) => {
          ctx.enqueue({ name: "", payload: 1 }).catch(() => {});
          return "done";
        }),
    ],
    ["toMs(Symbol())", "refused invalid_option, names wait", () => toMs(odd(Symbol("s")), "wait")],
    [
      "new RetryAfterError(undefined)",
      "refused invalid_option, names RetryAfterError.delay",
      () => new RetryAfterError(odd(undefined)) && "made",
    ],
    ["createManualClock(NaN)", "refused invalid_option, names start", () => createManualClock(Number.NaN) && "made"],
    ["clock.advance('soon')", "refused invalid_option, names duration", ({ clock }) => clock.advance(odd("soon"))],
  ];
  for (const [input, came, call] of calls) row(input, came, (room) => outcome(() => call(room)));

  const starts: readonly (readonly [input: string, came: string, options: QueueManagerOptions])[] = [
    ["queues: null of a queue", "done", { queues: { mail: odd(null) } }],
    ["queues: a text", "refused invalid_option, names queues", { queues: odd("mail") }],
    ["queues: a list", "refused invalid_option, names queues", { queues: odd(["mail"]) }],
    ["queues: a queue of an empty name", "refused invalid_option, names queue name", { queues: { "": {} } }],
    ["queues: concurrency 0", "refused invalid_option, names concurrency", { queues: { mail: { concurrency: 0 } } }],
    [
      "queues: concurrency of text",
      "refused invalid_option, names concurrency",
      { queues: { mail: { concurrency: odd("2") } } },
    ],
    [
      "queues: a connection that there is not",
      "refused invalid_option, names connection",
      { queues: { mail: { connection: "other" } } },
    ],
    [
      "queues: a rate limit of text",
      "refused invalid_option, names rateLimit",
      { queues: { mail: { rateLimit: odd("5/s") } } },
    ],
    ["queues: maxActive -1", "refused invalid_option, names maxActive", { queues: { mail: { maxActive: -1 } } }],
    ["queues: keep of a number", "refused invalid_option, names keep", { queues: { mail: { keep: odd(5) } } }],
    ["keep of a number", "refused invalid_option, names keep", { queues: { mail: {} }, keep: odd(5) }],
    ["concurrency 0", "refused invalid_option, names concurrency", { concurrency: 0 }],
    ["maxJobs 0", "refused invalid_option, names maxJobs", { maxJobs: 0 }],
    ["lease of text", "refused invalid_option, names lease", { queues: { mail: {} }, lease: odd("long") }],
    ["connections: null of a name", "refused invalid_option, names driver", { connections: { other: odd(null) } }],
    ["connections: a driver by itself", "refused invalid_option, names connections", { connections: odd(7) }],
  ];
  for (const [input, came, options] of starts)
    row(`manager: ${input}`, came, ({ clock, driver }) =>
      outcome(async () => {
        const manager = new QueueManager({ clock, driver, ...options });
        manager.on("error", () => {});
        await manager.start();
        await manager.stop();
      }),
    );
});
