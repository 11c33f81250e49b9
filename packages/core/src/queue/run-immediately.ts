import { DEFAULTS } from "../job/defaults.ts";
import type { Emitter } from "../job/emitter.ts";
import { handlerScope } from "../job/handler-scope.ts";
import type { JobRecord } from "../job/job-record.ts";
import type { NewJob } from "../job/new-job.ts";
import { Attempt } from "../worker/attempt.ts";
import { type Producer, Reporter, type Settled, type WorkerEvents } from "../worker/options-and-events.ts";
import type { QueueContext } from "./queue-context.ts";

interface RunHere {
  readonly context: QueueContext;
  readonly events: Emitter<WorkerEvents>;
  readonly producer: Producer;
  /** Merged into the handler's `ctx`. */
  readonly ctx: object | undefined;
}

/** How a job that ran here ended: done, or given back, to be stored after all. */
type RanHere = { readonly id: string; readonly releasedMs?: number };

/**
 * Runs a job that is not to be queued (`shouldQueue`), once, as a worker would: middleware, timeout, events and
 * `onFailed`. @throws what its attempt threw.
 */
export async function runImmediately(job: NewJob, { context, events, producer, ctx }: RunHere): Promise<RanHere> {
  const { clock, random = Math.random, runner, metrics } = context;
  const record = recordOf(job, clock.now());
  const { id } = record;
  let onFailed: Promise<void> | undefined;
  const reporter = new Reporter({
    events,
    metricsOf: () => metrics,
    onFailed: (failed, error) => {
      onFailed = runner.failed(failed, error);
    },
  });
  events.emit("active", { job: record });
  const settled = await new Promise<Settled>((resolve) => {
    const attempt = new Attempt(
      { token: "here", job: record },
      {
        settled: resolve,
        returned: () => {},
        progressed: (_, progress) => events.emit("progress", { job: record, progress }),
        logged: (_, line) => events.emit("log", { job: record, line }),
        stuck: (_, durationMs) => events.emit("stuck", { job: record, durationMs }),
        fault: (error) => events.fault(error),
      },
      { clock, random, ctx, producer },
    );
    // Where a handler adds it, that handler waits for it.
    attempt.start((stored, context) => runner.run(stored, context), handlerScope.current());
  });
  reporter.settled(settled);
  await onFailed;
  const { settlement, end } = settled;
  if (settlement.outcome === "released") return { id, releasedMs: settlement.delayMs };
  if ("error" in end) throw end.error;
  return { id };
}

/** The job as a worker would have claimed it. */
function recordOf(job: NewJob, now: number): JobRecord {
  const { id = randomId(), queue, name, priority = 0, tags = [], timeoutMs } = job;
  return {
    id,
    queue,
    name,
    payload: JSON.parse(job.payload),
    state: "active",
    priority,
    addedAt: now,
    availableAt: now,
    startedAt: now,
    attempts: 1,
    maxAttempts: 1,
    interruptions: 0,
    exceptions: 0,
    tags,
    logs: [],
    backoff: DEFAULTS.backoff,
    ...(timeoutMs !== undefined && { timeoutMs }),
  };
}

/** Not `crypto.randomUUID`: a page that is no secure context lacks it. */
const randomId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
