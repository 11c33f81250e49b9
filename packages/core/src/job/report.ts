/**
 * Shows an error that nobody can be given (a listener threw, nobody listens for errors) as an uncaught one is shown,
 * where that does not end the program: browsers, workerd and Deno can, Node cannot.
 */
export function reportUnheard(error: unknown): void {
  const { reportError } = globalThis as { reportError?: (error: unknown) => void };
  reportError?.call(globalThis, error);
}
