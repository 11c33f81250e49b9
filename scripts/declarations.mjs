// Builds the packages and reads the declarations that their users get: no `any` in them, and nothing internal.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildPackages, packages } from "./build-packages.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
await buildPackages();
let wrong = 0;
for (const folder of packages) {
  const cwd = join(root, folder);
  const files = globSync("dist/**/*.d.ts", { cwd });
  for (const file of files) {
    const text = readFileSync(join(cwd, file), "utf8");
    const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g, " ");
    // The members of an untyped job map are `any`: an interface could not be assigned to a map of `unknown`.
    const checked = code.replace(/interface UntypedJobs \{[^}]*\}/, " ");
    // `AbortSignal.any` and a member of that name are no types.
    const uses = [...checked.matchAll(/(?<![.\w])any\b(?!\s*[(:?])/g)].length;
    const internal = text.includes("@internal");
    if (uses === 0 && !internal) continue;
    wrong++;
    console.log(`${folder}/${file}: ${uses} times the type any${internal ? ", and something internal" : ""}`);
  }
  console.log(`${folder}: ${files.length} declaration files read`);
  if (files.length === 0) wrong++;
}
process.exitCode = wrong > 0 ? 1 : 0;
