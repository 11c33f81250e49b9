// How each package is built. Its entry points are the sources that its `exports` name.
import { defineConfig } from "tsdown";
import { SOURCES } from "./sources.mjs";

/**
 * The configuration of tsdown for one package.
 *
 * @param {{ readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>> }} manifest its package.json
 */
export const packageBuild = ({ exports }) =>
  defineConfig({
    entry: Object.values(exports).flatMap((conditions) => conditions[SOURCES] ?? []),
    // One file per source file: a bundler drops those that an app does not use.
    unbundle: true,
    sourcemap: true,
    // The sources are packed, so the maps need no copy of them.
    outputOptions: { sourcemapExcludeSources: true },
    platform: "neutral",
    target: "es2024",
    dts: { sourcemap: true },
    deps: { neverBundle: [/^cloudflare:/] },
  });
