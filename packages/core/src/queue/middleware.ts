import type { HandlerContext, Middleware } from "../job/handler.ts";

/**
 * One function of many middleware, the first outermost, around `inner`. As in Koa, `next` may be called once.
 *
 * @see https://github.com/koajs/compose
 */
export function compose(
  middleware: readonly Middleware[],
  inner: (ctx: HandlerContext) => unknown,
): (ctx: HandlerContext) => Promise<unknown> {
  return async (ctx) => {
    let reached = -1;
    const from = async (index: number): Promise<unknown> => {
      if (index <= reached) throw new Error("A middleware called next() more than once.");
      reached = index;
      const step = middleware[index];
      return step ? step(ctx, () => from(index + 1)) : inner(ctx);
    };
    return from(0);
  };
}
