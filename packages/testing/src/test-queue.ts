import {
  type Duration,
  type JobMap,
  memoryDriver,
  type NextCron,
  Queue,
  type QueueOptions,
  toMs,
  type UntypedJobs,
} from "@quayside/core";
import { drain } from "./drain.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";

/** Options of `testQueue`: those of a `Queue`, and of its clock and driver. */
export interface TestQueueOptions<Jobs extends JobMap, Ctx extends object>
  extends Omit<QueueOptions<Jobs, Ctx>, "clock"> {
  /** Name of the queue. Default: `test`. */
  readonly name?: string | undefined;
  /** Time at which the clock starts, in ms since epoch. Default: 2026-01-01T00:00:00Z. */
  readonly start?: number | undefined;
  /** Evaluates cron rules: `cron` from `@quayside/core/cron`. Default: none; recurrences by cron are refused. */
  readonly cron?: NextCron | undefined;
}

/** A queue in memory with a clock that a test moves. */
export interface TestQueue<Jobs extends JobMap, Ctx extends object> {
  readonly queue: Queue<Jobs, Ctx>;
  readonly clock: ManualClock;
  /** Works all jobs, also delayed ones and retries: moves the clock to each, `until` at most (default: one year). */
  drain(options?: { readonly until?: Duration | undefined }): Promise<void>;
  /** Moves the clock by a duration, and works each job when it is due. */
  advance(duration: Duration): Promise<void>;
}

/**
 * Creates a queue in memory whose clock only the test moves. Nothing runs before `drain` or `advance`.
 *
 * @example
 * const { queue, drain } = testQueue({ jobs });
 * const id = await queue.addJob("email", { to: "ada@example.com" });
 * await drain();
 * expect(await queue.get(id)).toMatchObject({ state: "failed", attempts: 3 });
 */
export function testQueue<Jobs extends JobMap = UntypedJobs, Ctx extends object = object>({
  name = "test",
  start,
  cron,
  ...options
}: TestQueueOptions<Jobs, Ctx> = {}): TestQueue<Jobs, Ctx> {
  const clock = createManualClock(start);
  const queue = new Queue(
    name,
    memoryDriver({ clock, cron }),
    options as QueueOptions<Jobs, Ctx> & { readonly jobs: Jobs },
  );
  return {
    queue,
    clock,
    drain: (options = {}) => drain(queue, { ...options, clock }),
    async advance(duration) {
      const end = clock.monotonic() + toMs(duration, "duration");
      await drain(queue, { clock, until: end - clock.monotonic() });
      await clock.advance(Math.max(0, end - clock.monotonic()));
    },
  };
}
