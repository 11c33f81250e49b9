import { inject, it } from "vitest";
import type { OpenHome } from "./home.ts";
import { PROPERTIES } from "./properties.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Environment variables that vitest.config.ts reads and passes to tests of any runtime. */
    readonly hostile: { readonly nightly: boolean; readonly runs?: number; readonly seed?: number };
  }
}

/** A test of each property; how many cases of it the check and `pnpm nightly` try. */
export function hostileSuite(cases: { readonly check: number; readonly nightly: number }, open: OpenHome): void {
  const { nightly, seed, runs = nightly ? cases.nightly : cases.check } = inject("hostile");
  for (const { name, check } of PROPERTIES) it(name, { timeout: 1_200_000 }, () => check({ open, runs, seed }));
}
