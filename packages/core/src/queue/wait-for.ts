import type { Clock } from "../engine/clock.ts";
import type { Driver } from "../engine/driver.ts";
import { mayConcern } from "../engine/ended-ids.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { fromStoredError, QuaysideError } from "../job/errors.ts";
import type { JobRecord } from "../job/job-record.ts";
import { able } from "../job/option-checks.ts";

/** How long `queue.waitFor` waits. */
export interface WaitOptions {
  /** Default: as long as it takes. */
  readonly timeout?: Duration | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Wait extends WaitOptions {
  readonly driver: Driver;
  readonly clock: Clock;
  readonly queue: string;
  readonly id: string;
  /** Reads what is encrypted. */
  readonly read: (job: JobRecord) => Promise<JobRecord>;
}

/**
 * Resolves with a job's result when it has ended. Looks once at the start, again whenever the driver tells that it,
 * or any job of its queue, may have ended, and a last time before it gives up; never by the clock.
 */
export function waitFor({ driver, clock, queue, id, read, timeout, signal }: Wait): Promise<unknown> {
  if (signal !== undefined) able(signal, "signal", "addEventListener");
  const timeoutMs = timeout === undefined ? undefined : toMs(timeout, "timeout");
  return new Promise((resolve, reject) => {
    let seen = false;
    let looking: Promise<void> | undefined;
    let again = false;
    const leave: (() => void)[] = [];
    const done = (finish: () => void) => {
      for (const step of leave.splice(0)) step();
      finish();
    };

    const get = async () => {
      try {
        const found = await driver.get(queue, id);
        const job = found?.sealed ? await read(found) : found;
        seen ||= job !== undefined;
        const end = outcome(job, id, seen);
        if (end) done(() => ("error" in end ? reject(end.error) : resolve(end.result)));
      } catch (error) {
        done(() => reject(error));
      }
    };
    /** One look at a time; what happens meanwhile is a reason for another. */
    const look = (): Promise<void> => {
      again = looking !== undefined;
      looking ??= get().then(() => {
        looking = undefined;
        return again && leave.length > 0 ? look() : undefined;
      });
      return looking;
    };

    leave.push(
      driver.watch(
        (change) => {
          if (change.queue === queue && change.kind === "ended" && mayConcern(change, id)) void look();
        },
        () => void look(),
      ),
    );
    if (timeoutMs !== undefined) {
      const expire = async () => {
        await look();
        const message = `Job ${id} did not end within ${timeoutMs} ms.`;
        done(() => reject(new QuaysideError("timeout", message, { id, timeoutMs })));
      };
      leave.push(clock.after(timeoutMs, () => void expire()));
    }
    if (signal) {
      const abort = () => done(() => reject(signal.reason));
      if (signal.aborted) return abort();
      signal.addEventListener("abort", abort, { once: true });
      leave.push(() => signal.removeEventListener("abort", abort));
    }
    void look();
  });
}

function outcome(job: JobRecord | undefined, id: string, seen: boolean) {
  switch (job?.state) {
    case undefined: {
      const message = seen
        ? `Job ${id} has ended, but its queue keeps no ended jobs (keep): its result is gone.`
        : `There is no job ${id}, or it has ended and was not kept (keep).`;
      return { error: new QuaysideError("job_not_found", message, { id }) };
    }
    case "completed":
      return { result: job.result };
    case "failed":
      return { error: job.error ? fromStoredError(job.error) : new QuaysideError("internal", `Job ${id} failed.`) };
    case "cancelled":
      return { error: new QuaysideError("cancelled", `Job ${id} was cancelled.`, { id }) };
    default:
      return undefined;
  }
}
