import {
  defineJobs,
  defineQueue,
  isQuaysideError,
  Job,
  type JobId,
  memoryDriver,
  Queue,
  QueueManager,
  type,
} from "@quayside/core";

export const jobs = defineJobs({
  email: { input: type<{ to: string; subject: string }>(), output: type<{ messageId: string }>() },
  ping: {},
});
interface Plain {
  email: { to: string };
  resize: { width: number };
}
const driver = memoryDriver();
const queue = new Queue("mail", driver, { jobs });
const plain = new Queue<Plain>("mail", driver);
const payload = { to: "ada", subject: "Hi" };

/* A run-time map that is only a type */
new Queue<typeof jobs>("mail", driver);

/* A run-time map that is only a type, in defineQueue */
defineQueue<typeof jobs>("mail", { maxActive: 2 });

/* An option of a definition that does not exist */
defineJobs({ email: { maxAtempts: 3 } });

/* A handler whose result does not fit the output */
defineJobs({ email: { output: type<{ id: string }>(), handler: () => ({ id: 1 }) } });

/* A payload type that JSON cannot carry */
new Queue<{ save: { run: () => void } }>("mail", driver).addJob("save", { run: () => {} });

/* A job that does not exist */
queue.addJob("emial", payload);

/* A payload that lacks a field */
queue.addJob("email", { to: "ada" });

/* A payload of another job */
plain.addJob("email", { width: 1 });

/* A misspelt job option */
queue.addJob("email", payload, { dealy: "5m" });

/* A duration with an unknown unit */
queue.addJob("email", payload, { delay: "5 lightyears" });

/* debounce without wait */
queue.addJob("email", payload, { dedupe: { key: "a", mode: "debounce" } });

/* throttle without ttl */
queue.addJob("email", payload, { dedupe: { key: "a", mode: "throttle" } });

/* An event that does not exist */
queue.on("complete", () => {});

/* A handler of a job that does not exist */
queue.on("job:emial", () => {});

/* A handler that uses a field which the payload does not have */
queue.on("job:email", ({ from }) => ({ messageId: from }));

/* A handler whose result the output does not take */
queue.on("job:email", () => ({ messageId: 1 }));

/* handle without one of the jobs */
queue.handle({ email: () => ({ messageId: "1" }) });

/* The result of another job */
export const other = async (id: JobId<"ping">) => (await queue.waitFor(id)).messageId;

/* A recurrence of a job that does not exist */
queue.schedule("nightly", { cron: "0 3 * * *", name: "report", payload: null });

/* A recurrence with both every and cron */
queue.schedule("nightly", { cron: "0 3 * * *", every: "1d", name: "ping" });

/* A setting that does not exist */
defineQueue("mail", { jobs, maxactive: 2 });

/* A recurrence of a definition with the payload of another job */
defineQueue("mail", { jobs, schedules: { hourly: { every: "1h", name: "email", payload: { host: "x" } } } });

/* A driver that is not called */
new Queue("mail", memoryDriver);

/* A code that does not exist */
export const isWrong = (error: unknown) => isQuaysideError(error, "invalid_paylod");

/* A job of a flow that does not exist */
queue.addFlow({ name: "email", payload, children: [{ name: "emial", payload }] });

/* A batch handler without a size */
queue.onBatch("job:email", { wait: "2s" }, () => {});

/* A job class whose ctx the manager does not have */
class Send extends Job<{ to: string }, { readonly db: string }> {
  static jobName = "send";
  handle(_: { to: string }, ctx: { readonly db: string }) {
    return ctx.db;
  }
}
new QueueManager({ connections: { main: driver } }).register(Send);
