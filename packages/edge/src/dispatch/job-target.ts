import type { Handler, HandlerContext } from "@quayside/core";

/** Shared by all copies of this module: `@quayside/edge/webhook` is a bundle of its own. */
const TARGET: unique symbol = Symbol.for("quayside.target") as never;

/** A handler that `dispatch` may name in place of a consumer. Stubs of RPC may be functions too, hence the mark. */
export type JobTarget<Env> = Handler<unknown, { readonly env: Env }> & {
  readonly [TARGET]: true;
  readonly keepResult: (check: () => unknown, ctx: HandlerContext) => unknown;
};

/** @param keepResult the job is done once the handler has returned: see `Handler`. */
export const asTarget = <Env>(
  handler: (payload: unknown, ctx: HandlerContext & { readonly env: Env }) => unknown,
  keepResult: JobTarget<Env>["keepResult"],
): JobTarget<Env> => Object.assign(handler, { [TARGET]: true as const, keepResult });

export const isTarget = <Env>(target: object | JobTarget<Env>): target is JobTarget<Env> =>
  Object.hasOwn(target, TARGET);
