// Loaded before the soak (`node --import`): puts the bug named by QUAYSIDE_SEEDED_BUG into the engine as it is loaded.
import { registerHooks } from "node:module";

interface Bug {
  /** The module that has it. */
  readonly file: string;
  /** The text, which occurs once in the file. `instead` replaces it. */
  readonly text: string;
  readonly instead: string;
}

const BUGS: Readonly<Record<string, Bug>> = {
  "dropped settlement": {
    file: "core/src/engine/settle.ts",
    text: "yield* endJobs(tx, ends);\n  return",
    instead: "yield* endJobs(tx, ends.filter(() => Math.random() > 0.01));\n  return",
  },
  "double claim": {
    file: "core/src/engine/claim-order.ts",
    text: "this.#running.delete(keyText(key))",
    instead: "(this.#running.delete(keyText(key)) && Math.random() > 0.01)",
  },
  "skipped recovery": {
    file: "core/src/engine/recover.ts",
    text: "const cap = renewedAt + DEFAULTS.silenceCapMs;",
    instead: "const cap = renewedAt + DEFAULTS.silenceCapMs; if (held.length > 0) return Number.POSITIVE_INFINITY;",
  },
};

const name = process.env["QUAYSIDE_SEEDED_BUG"] ?? "";
const bug = BUGS[name];
if (!bug) throw new Error(`There is no bug named "${name}".`);

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    if (!url.endsWith(bug.file)) return loaded;
    const source = String(loaded.source);
    if (source.split(bug.text).length !== 2)
      throw new Error(`${bug.file} has changed: "${bug.text}" does not stand there once. Seed the bug anew.`);
    return { ...loaded, source: source.replace(bug.text, bug.instead) };
  },
});
