import { QuaysideError } from "@quayside/core";

/** Creates the error that is reported when code that Quayside cannot observe has rolled back or deleted its writes. */
export const unobserved = () =>
  new QuaysideError(
    "conflict",
    "What a queue had stored was undone or deleted by a call that Quayside could not observe; a job that is gone may have run. Call transaction(), transactionSync() and deleteAll() on ctx.storage: a function that was taken from it before embedQueue() is not observed.",
  );

/** Reports an error to `onError`, or to the console. An error thrown by `onError` goes to the console. */
export function report(onError: ((error: unknown) => void) | undefined, error: unknown): void {
  try {
    if (onError) onError(error);
    else console.error(error);
  } catch (fault) {
    console.error(fault, error);
  }
}
