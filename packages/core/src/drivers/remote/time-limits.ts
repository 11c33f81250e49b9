import type { Clock } from "../../engine/clock.ts";
import { isA, QuaysideError } from "../../job/errors.ts";

/** The result of `work`; rejects with `network` when there is none after `ms`. A later result is ignored. */
export function within<T>(clock: Clock, ms: number, what: string, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = clock.after(ms, () =>
      reject(new QuaysideError("network", `${what} did not answer within ${ms} ms.`, {})),
    );
    work.then(resolve, reject).finally(stop);
  });
}

/** Codes of errors that are about the place that was asked: the same request may succeed later. */
const TROUBLES: ReadonlySet<string> = new Set([
  "network",
  "internal",
  "storage_unavailable",
  "storage_full",
  "rate_limited",
  "unsupported_version",
  "timeout",
  "unauthorized",
  "forbidden",
]);

/** Whether the place had trouble, and not the request: the same request may succeed later, and others elsewhere now. */
export const isTrouble = (error: unknown): boolean =>
  isA(QuaysideError, error) ? TROUBLES.has(error.code) || error.details["bare"] === true : !isUnclonable(error);

const isUnclonable = (error: unknown): boolean => isA(Error, error) && error.name === "DataCloneError";
