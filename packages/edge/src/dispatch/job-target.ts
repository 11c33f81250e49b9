import type { Handler, HandlerContext } from "@quayside/core";

/**
 * Handlers that `asTarget` has marked. An RPC stub may be a function, too, so the type alone does not distinguish them.
 */
const targets = new WeakSet<object>();

/**
 * A handler that `dispatch` may return in place of a consumer, such as a webhook. Its result is checked at run time, so
 * its type fits every job.
 */
export type JobTarget<Env> = Handler<unknown, { readonly env: Env }, HandlerContext, never> & {
  readonly keepResult: (check: () => unknown, ctx: HandlerContext) => unknown;
};

/**
 * Marks a handler as one that `dispatch` may return.
 *
 * @param keepResult for a handler whose work is done once it has returned: see `Handler`.
 */
export function asTarget<Env>(
  handler: (payload: unknown, ctx: HandlerContext & { readonly env: Env }) => unknown,
  keepResult: JobTarget<Env>["keepResult"],
): JobTarget<Env> {
  const target = Object.assign(handler as JobTarget<Env>, { keepResult });
  targets.add(target);
  return target;
}

export const isTarget = <Env>(target: object | JobTarget<Env>): target is JobTarget<Env> => targets.has(target);
