import { QuaysideError, refused } from "../job/errors.ts";
import type { FlowIds, FlowJob } from "../job/flow.ts";
import type { ChildOutcome, HandlerContext, JobRequest, PublishRequest } from "../job/handler.ts";
import type { JobOptions } from "../job/job-options.ts";
import type { JobRecord } from "../job/job-record.ts";
import type { UntypedJobs } from "../job/job-types.ts";
import { type Json, toBoundedJson } from "../job/json.ts";
import { fields } from "../job/option-checks.ts";
import { failJob, releaseJob } from "../job/release-job.ts";
import type { Attempt, AttemptListener, AttemptOptions, AttemptQueue } from "./attempt.ts";
import { logLine } from "./attempt-reports.ts";

/** Adds jobs for `ctx.enqueue`, `ctx.publish` and `ctx.addFlow`. `from` is the running job whose handler adds them. */
export interface Producer {
  enqueue(request: JobRequest, from: JobRecord): Promise<string>;
  publish(request: PublishRequest, from: JobRecord): Promise<readonly string[]>;
  addFlow(flow: FlowJob<UntypedJobs>, from: JobRecord): Promise<FlowIds>;
}

/** Creates the `ctx` of an attempt's handlers. Fields of the worker's `ctx` take precedence over the queue's. */
export function makeContext(
  attempt: Attempt,
  children: readonly ChildOutcome[] = [],
  queue: AttemptQueue,
  listener: AttemptListener,
  options: AttemptOptions,
): HandlerContext {
  const { job } = attempt;
  const { events } = options;
  const producer = (): Producer => options.producer ?? queue.producer ?? refuseToAdd();
  // Assigned functions instead of methods or literal properties: bundlers that keep names (Wrangler) set the name of
  // those at each creation.
  const context: Writable<HandlerContext> = new Context(attempt);
  context.progress = (value) => {
    const copy = JSON.parse(toBoundedJson(value, "progress", "invalid_option")) as Json;
    if (attempt.over) return;
    listener.reported(attempt, { value: copy });
    events.emit("progress", { job, progress: copy });
  };
  context.log = (text) => {
    if (attempt.over) return;
    const line = logLine(text);
    listener.reported(attempt, { log: [line] });
    events.emit("log", { job, line });
  };
  context.children = () => children;
  context.release = (delay) => releaseJob(job, delay);
  context.fail = (reason) => failJob(job, reason);
  context.addJob = (name: string, payload?: unknown, jobOptions?: JobOptions) =>
    producer().enqueue({ ...jobOptions, name, payload }, job);
  context.enqueue = (request: JobRequest) => producer().enqueue(request, job);
  context.publish = (request) => producer().publish(request, job);
  context.addFlow = (flow) => producer().addFlow(flow, job);
  addFields(context, options.ctx);
  addFields(context, queue.ctx);
  return context;
}

/** Adds the fields of `extra` that `context` does not have. */
function addFields(context: object, extra: object | undefined): void {
  const all = context as Record<string, unknown>;
  // Assigning `__proto__` would replace the prototype of the context.
  for (const name in extra)
    if (name !== "__proto__" && !Object.hasOwn(all, name)) all[name] = extra[name as keyof typeof extra];
}

/** The fields that every `ctx` has. */
const OWN_FIELDS = (
  "source job id name queue attempt maxAttempts scheduledFor signal " +
  "release fail addJob progress log children enqueue publish addFlow"
).split(" ");

/**
 * Checks the option `ctx`, whose fields are copied to the `ctx` of each attempt, and returns it.
 *
 * @throws {QuaysideError} `invalid_option` for an instance of a class, which a copy would leave without its methods, or
 * a field that every `ctx` has.
 */
export function checkCtx<Ctx extends object>(ctx: Ctx): Ctx {
  const base = Object.getPrototypeOf(fields(ctx, "ctx")) as object | null;
  if (base && Object.getPrototypeOf(base) && Object.hasOwn(base, "constructor"))
    throw refused("ctx", "must be a plain object (for an instance of a class, pass { service: instance })", ctx);
  for (const name in ctx)
    if (OWN_FIELDS.includes(name))
      throw refused(`ctx.${name}`, "must have another name: every ctx has this field", ctx[name]);
  return ctx;
}

function refuseToAdd(): never {
  throw new QuaysideError("invalid_option", "This worker cannot add jobs: it has no producer. A QueueWorker has one.", {
    option: "producer",
  });
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

/** The own property `signal` of a `ctx`. The attempt creates the signal when it is first read. */
const SIGNAL = {
  enumerable: true,
  get(this: { readonly source: Attempt }): AbortSignal {
    return this.source.signal;
  },
};

/** The `ctx` of a handler; its attempt adds the functions. All fields are own properties, so that a spread has them. */
class Context {
  // No private property, so that `Object.create(ctx)`, copies and proxies of the context can read the signal.
  readonly source: Attempt;
  declare readonly job: JobRecord;
  declare readonly id: string;
  declare readonly name: string;
  declare readonly queue: string;
  declare readonly attempt: number;
  declare readonly maxAttempts: number;
  declare readonly scheduledFor: number | undefined;
  declare readonly signal: AbortSignal;
  declare release: HandlerContext["release"];
  declare fail: HandlerContext["fail"];
  declare addJob: HandlerContext["addJob"];
  declare progress: HandlerContext["progress"];
  declare log: HandlerContext["log"];
  declare children: HandlerContext["children"];
  declare enqueue: HandlerContext["enqueue"];
  declare publish: HandlerContext["publish"];
  declare addFlow: HandlerContext["addFlow"];

  constructor(attempt: Attempt) {
    const { job } = attempt;
    this.source = attempt;
    this.job = job;
    this.id = job.id;
    this.name = job.name;
    this.queue = job.queue;
    this.attempt = job.attempts;
    this.maxAttempts = job.maxAttempts;
    this.scheduledFor = job.scheduledFor;
    Object.defineProperty(this, "signal", SIGNAL);
  }
}
