import type { Driver } from "@quayside/core";

/** Replaces `watch` by one without changes, because a change of settings would release the held jobs. */
export const withoutChanges: Pick<Driver, "watch"> = { watch: () => () => {} };

/** Creates `count` jobs, each with its number as payload. */
export const many = (count: number) => Array.from({ length: count }, (_, n) => ({ name: "email", payload: n }));
