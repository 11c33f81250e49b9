import type { Driver } from "@quayside/core";

/** Replaces `watch` by a feed without changes: a change of settings would release what is held ahead. */
export const withoutChanges: Pick<Driver, "watch"> = { watch: () => () => {} };

/** So many jobs, each with its number as payload. */
export const many = (count: number) => Array.from({ length: count }, (_, n) => ({ name: "email", payload: n }));
