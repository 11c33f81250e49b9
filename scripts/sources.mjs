// This workspace uses the sources of its packages; everybody else uses the files that were built from them. A condition of
// their `exports` decides. TypeScript reads it in tsconfig.base.json, commands of pnpm in pnpm-workspace.yaml (`nodeOptions`),
// Vite, wrangler and child processes get it from this file.
import { defaultClientConditions, defaultServerConditions } from "vite";

/** The condition under which `exports` of our packages name their sources. */
export const SOURCES = "quayside:source";

/**
 * Makes Vite and Vitest resolve our packages to their sources, in all their environments.
 *
 * @returns {import("vite").Plugin}
 */
export function fromSources() {
  return {
    name: "quayside:from-sources",
    enforce: "post",
    configEnvironment(name, { consumer, resolve }) {
      const forPages = consumer === "client" || name === "client";
      const conditions = resolve?.conditions ?? (forPages ? defaultClientConditions : defaultServerConditions);
      return { resolve: { conditions: [SOURCES, ...conditions] } };
    },
  };
}

/** Environment in which Node and wrangler resolve our packages to their sources. */
export const FROM_SOURCES = {
  NODE_OPTIONS: `--conditions=${SOURCES}`,
  // The variable replaces the conditions that wrangler has without it, so it repeats them.
  WRANGLER_BUILD_CONDITIONS: `${SOURCES},workerd,worker,browser`,
};

/**
 * Throws when Node resolves our packages to built files, which may be old: the script was not started by pnpm.
 *
 * @param {ImportMeta} meta of a module in a folder that depends on our packages
 */
export function requireSources(meta) {
  if (!meta.resolve("@quayside/core").includes("/src/"))
    throw new Error(`Start it with pnpm, or with node --conditions=${SOURCES}: it must run on the sources.`);
}
