import { QuaysideError } from "@quayside/core";

/** The error for writes that were undone or deleted by a call that was not observed. */
export const unobserved = () =>
  new QuaysideError(
    "conflict",
    "What a queue had stored was undone or deleted by a call that Quayside could not observe; a job that is gone may have run. Call transaction(), transactionSync() and deleteAll() on ctx.storage: a function that was taken from it before embedQueue() is not observed.",
  );

/** Reports an error. An error of `onError` itself is printed. */
export function report(onError: ((error: unknown) => void) | undefined, error: unknown): void {
  try {
    if (onError) onError(error);
    else console.error(error);
  } catch (fault) {
    console.error(fault, error);
  }
}
