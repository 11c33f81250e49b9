import { systemClock } from "../engine/clock.ts";
import { mayConcern } from "../engine/ended-ids.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { QuaysideError } from "../job/errors.ts";
import type { JobRecord } from "../job/job-record.ts";
import { able, fields } from "../job/option-checks.ts";
import { fromStoredError } from "../job/stored-error.ts";
import { checkId, type SomeQueue } from "./kernel-queue.ts";
import { partsOf } from "./queue-context.ts";
import { openEnded } from "./sealed-jobs.ts";

/** Options of `queue.waitFor`. */
export interface WaitOptions {
  /** Longest wait. Default: no limit. */
  readonly timeout?: Duration | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Resolves with the result of a job, also if it has already ended. Requires that ended jobs are kept (`keep`, by
 * default the last 100). Reads the job at the start, when the driver reports that it (or any job of its queue) may have
 * ended, and before the timeout; does not poll.
 *
 * @throws {QuaysideError} the job's own error; `cancelled`; `job_not_found`; `timeout`. Or the signal's reason.
 * @example
 * const { width } = await waitFor(queue, id, { timeout: "30s" });
 */
export async function waitFor(target: SomeQueue, id: string, options: WaitOptions = {}): Promise<unknown> {
  checkId(id);
  const { timeout, signal } = fields(options, "options", ["timeout", "signal"]);
  const { driver, name: queue } = target;
  const { clock = systemClock, encryption } = partsOf(target).context;
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
        const job = found?.sealed ? await openEnded(encryption, found) : found;
        seen ||= job !== undefined;
        const end = outcome(job, id, seen);
        if (end) done(() => ("error" in end ? reject(end.error) : resolve(end.result)));
      } catch (error) {
        done(() => reject(error));
      }
    };
    /** Reads the job. Runs one read at a time; a change during a read causes another read. */
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
