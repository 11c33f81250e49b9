import type { Clock } from "../../engine/clock.ts";
import { QuaysideError } from "../../job/errors.ts";

/** Resolves with the result of `work`. Rejects with `network` when `work` takes longer than `ms`. */
export function within<T>(clock: Clock, ms: number, what: string, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = clock.after(ms, () =>
      reject(new QuaysideError("network", `${what} did not answer within ${ms} ms.`, {})),
    );
    work.then(resolve, reject).finally(stop);
  });
}
