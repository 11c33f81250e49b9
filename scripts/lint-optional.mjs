// Refuses optional properties of the packages' types that do not accept `undefined`: with `exactOptionalPropertyTypes`, an
// app could not pass on an option that it does not have. Exempt: the records and ports of the engine.
//
//   node scripts/lint-optional.mjs
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { ts } from "./typescript.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** In a stored record, an absent field is part of the format. The verbs are written by apps as well. */
const RECORDS = /^packages\/core\/src\/engine\/(?!verbs\.ts$)/;

const { SyntaxKind } = ts;
const ACCEPTING = new Set([SyntaxKind.UndefinedKeyword, SyntaxKind.UnknownKeyword, SyntaxKind.NeverKeyword]);

/** @param {import("./typescript.mjs").Node} type @returns {boolean} */
const accepts = (type) => ACCEPTING.has(type.kind) || (ts.isUnionTypeNode(type) && type.types.some(accepts));

/**
 * Returns the optional properties of a source file that do not accept `undefined`. Patterns with `infer` declare no
 * property.
 *
 * @param {string} path @param {string} text @returns {{ line: number, name: string }[]}
 */
export function refusedProperties(path, text) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  /** @type {{ line: number, name: string }[]} */
  const refused = [];
  /** @param {import("./typescript.mjs").Node} node */
  const visit = (node) => {
    if (ts.isPropertySignature(node) || ts.isPropertyDeclaration(node)) {
      const { name, type, questionToken } = node;
      if (questionToken && type && !accepts(type) && !/\binfer\b/.test(type.getText(source)))
        refused.push({
          line: source.getLineAndCharacterOfPosition(name.getStart(source)).line + 1,
          name: name.getText(source),
        });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return refused;
}

if (import.meta.main ?? argv[1] === fileURLToPath(import.meta.url)) {
  const files = globSync("packages/*/src/**/*.{ts,tsx}", { cwd: root }).filter((path) => !RECORDS.test(path));
  const wrong = files.flatMap((path) =>
    refusedProperties(path, readFileSync(join(root, path), "utf8")).map(
      ({ line, name }) => `${path}:${line}: ${name}?: … must accept undefined. Write: ${name}?: … | undefined`,
    ),
  );
  console.log([...wrong, `Optional properties: ${files.length} files, ${wrong.length} to change.`].join("\n"));
  process.exitCode = wrong.length > 0 || files.length === 0 ? 1 : 0;
}
