import type { Handler } from "@quayside/core";

/** Shared by all copies of this module: `@quayside/edge/webhook` is a bundle of its own. */
const TARGET: unique symbol = Symbol.for("quayside.target") as never;

/** A handler that `dispatch` may name in place of a consumer. Stubs of RPC may be functions too, hence the mark. */
export type JobTarget<Env> = Handler<unknown, { readonly env: Env }> & { readonly [TARGET]: true };

export const asTarget = <Env>(handler: Handler<unknown, { readonly env: Env }>): JobTarget<Env> =>
  Object.assign(handler, { [TARGET]: true as const });

export const isTarget = <Env>(target: object | JobTarget<Env>): target is JobTarget<Env> =>
  Object.hasOwn(target, TARGET);
