// Draws docblocks of the packages for a reader who has not seen the code: the sentence test.
//
//   node scripts/draw-docblocks.mjs             draws 24 by a new seed, and prints it
//   node scripts/draw-docblocks.mjs 12345       draws the same again, as long as the sources are the same
//   node scripts/draw-docblocks.mjs 12345 48    draws 48
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { seededRandom } from "../packages/testing/src/seeded-random.ts";
import { ts } from "./typescript.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Returns the first line of a declaration, with the further lines of its parameters. @param {string} text */
function headOf(text) {
  const head = /^[^{=;]*?\([\s\S]*?\)[^{;]*|^[^\n{;]*/.exec(text)?.[0] ?? "";
  return head.replaceAll(/\s+/g, " ").slice(0, 300).trim();
}

/** The declarations of a file that have a docblock. @param {string} path */
function documented(path) {
  const text = readFileSync(join(root, path), "utf8");
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  /** @type {{ path: string, line: number, name: string, docblock: string, declaration: string }[]} */
  const all = [];
  /** @param {import("./typescript.mjs").Node} node @param {string} parent */
  const visit = (node, parent) => {
    const named = ts.isVariableStatement(node) ? node.declarationList.declarations[0] : node;
    const own = named && "name" in named && named.name ? /** @type {any} */ (named.name).getText(source) : undefined;
    const name = own ?? (ts.isConstructorDeclaration(node) ? "constructor" : undefined);
    const docblock = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc).at(-1);
    if (name !== undefined && docblock && docblock.parent === node)
      all.push({
        path,
        line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1,
        name: parent ? `${parent}.${name}` : name,
        docblock: docblock.getText(source).replaceAll(/^\s+\*/gm, " *"),
        declaration: headOf(node.getText(source)),
      });
    const inside = ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node) ? (name ?? "") : parent;
    ts.forEachChild(node, (child) => visit(child, inside));
  };
  visit(source, "");
  return all;
}

const seed = Number(argv[2] ?? Math.floor(Math.random() * 2 ** 31));
const count = Number(argv[3] ?? 24);
const all = globSync("packages/*/src/**/*.{ts,tsx}", { cwd: root }).sort().flatMap(documented);
const random = seededRandom(seed);
console.log(`${count} of ${all.length} docblocks, seed ${seed}`);
for (let left = count; left > 0 && all.length > 0; left--) {
  const [one] = all.splice(Math.floor(random() * all.length), 1);
  if (one)
    console.log(`\n${count - left + 1}. ${one.path}:${one.line}: ${one.name}\n${one.docblock}\n${one.declaration}`);
}
