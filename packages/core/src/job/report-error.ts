import { describe } from "./cut-text.ts";

interface Reporting {
  readonly reportError?: (error: unknown) => void;
  readonly console?: { error(error: unknown): void };
}

/**
 * Shows an error that no caller and no `error` listener gets: as an uncaught one where that does not end the program
 * (browsers, workerd, Deno), else with `console.error` (Node).
 */
export function reportUnheard(error: unknown): void {
  const { reportError, console } = globalThis as Reporting;
  try {
    (reportError ?? console?.error)?.(error);
  } catch {
    // Its stack may throw when it is read.
    console?.error(describe(error));
  }
}

/** Calls a function of the application. An error that it throws, or a rejection that it returns, goes to `failed` only. */
export function lent<T>(call: () => T, failed: (error: unknown) => void = reportUnheard): T | undefined {
  try {
    const answer = call();
    if ((answer as Partial<PromiseLike<unknown>> | undefined | null)?.then) Promise.resolve(answer).catch(failed);
    return answer;
  } catch (error) {
    failed(error);
    return undefined;
  }
}
