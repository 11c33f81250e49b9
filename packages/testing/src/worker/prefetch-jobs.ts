import type { Driver } from "@quayside/core";

/** A `watch` that reports no changes, for `wrap`: a change of settings would release the jobs that the worker holds. */
export const withoutChanges: Pick<Driver, "watch"> = { watch: () => () => {} };

/** Creates `count` jobs, each with its number as payload. */
export const many = (count: number) => Array.from({ length: count }, (_, n) => ({ name: "email", payload: n }));
