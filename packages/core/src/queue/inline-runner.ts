import type { Driver } from "../engine/driver.ts";

/** On a driver whose jobs run as they are added, what has them run: see `inline` in `@quayside/testing`. */
export const INLINE: unique symbol = Symbol.for("quayside.inline");

export type WorkInline = (drain: () => Promise<void>) => Promise<void>;

export const inlineOf = (driver: Driver): WorkInline | undefined =>
  (driver as { readonly [INLINE]?: WorkInline })[INLINE];
