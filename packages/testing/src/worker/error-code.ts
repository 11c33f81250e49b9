export type Code = { readonly code?: string | undefined };

/** Resolves with the code of the error with which a promise rejects. */
export const codeOf = (promise: Promise<unknown>): Promise<string | undefined> =>
  promise.then(
    () => "fulfilled",
    (error: Code) => error.code,
  );
