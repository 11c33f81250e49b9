import type { Clock } from "../driver/clock.ts";
import type { Connectivity, Driver } from "../driver/driver.ts";
import type { Duration } from "../job/duration.ts";
import type { HandlerContext } from "../job/handler.ts";
import type { JobRecord } from "../job/record.ts";
import type { JobQuota } from "./claims.ts";
import type { Emitter } from "./emitter.ts";
import type { Metrics } from "./metrics.ts";
import type { RetryPolicy } from "./retry-decision.ts";
import type { Producer, Run } from "./run-attempt.ts";
import type { Slots } from "./slots.ts";
import type { Telemetry } from "./telemetry.ts";
import type { WorkerEvents } from "./worker-events.ts";

/** Most jobs at once where the user does not say. */
export const CONCURRENCY = 10;

/** What a worker does with the jobs of one queue. */
export interface WorkerQueue<Ctx extends object = object> {
  readonly name: string;
  /** At most so many of this queue at once, within the worker's concurrency. */
  readonly concurrency?: number | undefined;
  /** The job names it can run, asked at every claim; absent: all. */
  readonly names?: (() => readonly string[]) | undefined;
  readonly run: Run<Ctx>;
  /** Runs something else in place of its handlers: with the job decrypted, and what it answers encrypted. */
  readonly around?: ((job: JobRecord, ctx: HandlerContext & Ctx, handle: Run<Ctx>) => unknown) | undefined;
  /** What decides, beside the options stored with a job, whether and when it is tried again. */
  readonly policy?: ((job: JobRecord) => RetryPolicy | undefined) | undefined;
  /** Called once a job has failed for good, here or under a worker that is gone; what it throws is an `error` event. */
  readonly onFailed?: ((job: JobRecord, error: unknown) => unknown) | undefined;
}

export interface WorkerOptions<Ctx extends object = object> {
  readonly queues: readonly WorkerQueue<Ctx>[];
  /** Jobs at once, over all queues. Default 10. */
  readonly concurrency?: number | undefined;
  /**
   * Jobs claimed ahead, beyond `concurrency`, so that a slot that falls free has its next job at once and fewer, larger
   * rounds are made. They wait here where no other worker can take them, ahead of what is added meanwhile whatever its
   * priority, and a crash counts as an interruption for them, too. Never those of a group or of a queue with limits
   * (R18). 0 to 10,000; default 0.
   */
  readonly prefetch?: number | undefined;
  /** How long a claim holds without renewal; renewed at a third. Default 30 s. */
  readonly lease?: Duration | undefined;
  /** A label for people; need not be unique. */
  readonly name?: string | undefined;
  /** Stops by itself after so many jobs. */
  readonly maxJobs?: number | undefined;
  /** Looks for work at least this often while idle: for a driver whose `watch` may miss things. Default: only when told. */
  readonly sleep?: Duration | undefined;
  /** Merged into every handler's `ctx`. */
  readonly ctx?: Ctx | undefined;
  /** Makes `ctx.enqueue` and `ctx.publish` work. */
  readonly producer?: Producer | undefined;
  /** What it knows of the network, for jobs that require it. Default: what its driver knows; else it counts as there. */
  readonly connectivity?: Connectivity | undefined;
  /** @internal Room shared with other workers, in place of `concurrency`. */
  readonly slots?: Slots | undefined;
  /** @internal Jobs that several workers may claim together, in place of `maxJobs`; `spent` is called when none is left. */
  readonly quota?: (JobQuota & { spent(): void }) | undefined;
  /** @internal Where to count and time attempts. */
  readonly metrics?: Metrics | undefined;
  readonly telemetry?: Telemetry | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  /** @internal Where its events go, when they are somebody else's too. */
  readonly events?: Emitter<WorkerEvents> | undefined;
  /** False where something else wakes the worker when a job falls due (an object's alarm). Default true. */
  readonly alarm?: boolean | undefined;
}

export type WorkerStatus = "stopped" | "running" | "stopping";

/** Queues that are worked on one driver. */
export interface WorkPlace {
  readonly driver: Driver;
  readonly queues: readonly string[];
}
