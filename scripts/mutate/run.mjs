/**
 * Runs the core suites in this process, with one mutation in the sources: `MUTANT` is JSON of
 * `{ file, start, end, text }`. Exits with 0 when all pass, with 1 at the first failure.
 */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

const root = new URL("../../", import.meta.url);
const mutant = JSON.parse(process.env.MUTANT ?? "null");
const mutated = mutant && pathToFileURL(mutant.file).href;
const OURS = {
  vitest: new URL("vitest.mjs", import.meta.url).href,
  "@quayside/core": new URL("packages/core/src/index.ts", root).href,
  "@quayside/core/engine": new URL("packages/core/src/engine.ts", root).href,
  "@quayside/testing": new URL("packages/testing/src/index.ts", root).href,
};

registerHooks({
  resolve(specifier, context, next) {
    const url = OURS[specifier];
    return url ? { url, shortCircuit: true } : next(specifier, context);
  },
  load(url, context, next) {
    if (url !== mutated) return next(url, context);
    const source = readFileSync(mutant.file, "utf8");
    return {
      format: "module-typescript",
      source: source.slice(0, mutant.start) + mutant.text + source.slice(mutant.end),
      shortCircuit: true,
    };
  },
});

console.info = () => {};
const SUITES = (process.env.SUITES ?? "").split(",");
try {
  for (const suite of SUITES) {
    await import(new URL(suite, root).href);
    const { run } = await import(OURS.vitest);
    if (!(await run())) process.exit(1);
  }
} catch (error) {
  console.log(String(error?.message ?? error).slice(0, 200));
  process.exit(1);
}
process.exit(0);
