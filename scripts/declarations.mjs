// Builds the packages and reads the declarations that their users get: no `any` in them, and nothing internal.
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const packages = globSync("packages/*/tsdown.config.ts", { cwd: root }).map((file) => basename(dirname(file)));
let wrong = 0;
for (const name of packages) {
  const cwd = join(root, "packages", name);
  const built = spawnSync("tsdown", ["--logLevel", "error"], { cwd, shell: process.platform === "win32" });
  if (built.status !== 0) {
    console.log(`packages/${name} does not build:\n${built.stdout}${built.stderr}`);
    wrong++;
    continue;
  }
  const files = globSync("dist/**/*.d.ts", { cwd });
  for (const file of files) {
    const text = readFileSync(join(cwd, file), "utf8");
    const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g, " ");
    // `AbortSignal.any` and a member of that name are no types.
    const uses = [...code.matchAll(/(?<![.\w])any\b(?!\s*[(:?])/g)].length;
    const internal = text.includes("@internal");
    if (uses === 0 && !internal) continue;
    wrong++;
    console.log(`packages/${name}/${file}: ${uses} times the type any${internal ? ", and something internal" : ""}`);
  }
  console.log(`packages/${name}: ${files.length} declaration files read`);
  if (files.length === 0) wrong++;
}
process.exitCode = wrong > 0 ? 1 : 0;
