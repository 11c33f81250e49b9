import { describe } from "./cut-text.ts";

interface Reporting {
  readonly reportError?: ((error: unknown) => void) | undefined;
  readonly console?: { error(error: unknown): void } | undefined;
}

/**
 * Reports an error that no caller and no `error` listener receives: as an uncaught error where it does not end the
 * program (browsers, workerd, Deno), else with `console.error` (Node).
 */
export function reportUnheard(error: unknown): void {
  const { reportError, console } = globalThis as Reporting;
  try {
    (reportError ?? console?.error)?.(error);
  } catch {
    // Reading the error's stack may throw.
    console?.error(describe(error));
  }
}

/** Calls a function of the application. Passes an error that it throws or rejects with to `failed`. */
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
