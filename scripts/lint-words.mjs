// Refuses banned words in comments and docs, docblocks that open with "What", and Markdown lines over 160 characters.
//
//   node scripts/lint-words.mjs
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { BANNED, EXCEPTIONS, LINE, OPENING, RECORDS } from "./banned-words.mjs";
import { ts } from "./typescript.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** @typedef {{ line: number, found: string, instead: string }} Violation */

/** The comments of a TypeScript file. @param {string} path @param {string} text */
function commentsOf(path, text) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  /** @type {Map<number, string>} */
  const comments = new Map();
  /** @param {import("./typescript.mjs").Node} node */
  const visit = (node) => {
    if (ts.isJSDoc(node)) return;
    for (const range of [
      ...(ts.getLeadingCommentRanges(text, node.getFullStart()) ?? []),
      ...(ts.getTrailingCommentRanges(text, node.getEnd()) ?? []),
    ])
      comments.set(range.pos, text.slice(range.pos, range.end));
    for (const child of node.getChildren(source)) visit(child);
  };
  visit(source);
  return [...comments].map(([start, comment]) => ({
    line: source.getLineAndCharacterOfPosition(start).line + 1,
    isDocblock: comment.startsWith("/**"),
    lines: comment
      .split("\n")
      .map((line) => line.replace(/^\s*(?:\/\*\*?|\/\/|\*(?!\/))\s?/, "").replace(/\s*\*\/$/, "")),
  }));
}

/** Blanks code, link targets and the texts of EXCEPTIONS. @param {string} line */
const proseOf = (line) =>
  EXCEPTIONS.reduce((rest, { text }) => rest.replace(text, ""), line.replace(/`[^`]*`|\]\([^)]*\)|"[^"]*"/g, ""));

/** @param {string} line @param {number} number @returns {Violation[]} */
const bannedIn = (line, number) =>
  BANNED.flatMap(({ pattern, instead }) =>
    [...proseOf(line).matchAll(pattern)].map(([found]) => ({ line: number, found, instead })),
  );

/** The violations of one file. @param {string} path @param {string} text @returns {Violation[]} */
export function violationsIn(path, text) {
  if (!path.endsWith(".md"))
    return commentsOf(path, text).flatMap(({ line, lines, isDocblock }) => [
      ...(isDocblock && OPENING.pattern.test(lines.join(" ").trim())
        ? [{ line, found: "a docblock opens with What", instead: OPENING.instead }]
        : []),
      ...lines.flatMap((text, index) => bannedIn(text, line + index)),
    ]);
  const isRecord = RECORDS.some((record) => record.path.test(path));
  let inCode = false;
  return text.split("\n").flatMap((line, index) => {
    if (/^\s*```/.test(line)) inCode = !inCode;
    return [
      ...(line.length > LINE
        ? [
            {
              line: index + 1,
              found: `${line.length} characters`,
              instead: `at most ${LINE}; a wide table becomes sections`,
            },
          ]
        : []),
      ...(inCode || isRecord ? [] : bannedIn(line, index + 1)),
    ];
  });
}

/** The files that are held to it: all Markdown, and the sources of the packages. */
function filesOf() {
  const tracked = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: root, encoding: "utf8" });
  return tracked
    .split("\n")
    .filter((path) => path.endsWith(".md") || /^packages\/[^/]+\/src\/.*\.tsx?$/.test(path))
    .filter((path) => existsSync(join(root, path)));
}

if (import.meta.main ?? argv[1] === fileURLToPath(import.meta.url)) {
  const wrong = filesOf().flatMap((path) =>
    violationsIn(path, readFileSync(join(root, path), "utf8")).map(
      ({ line, found, instead }) => `${path}:${line}: ${found}. Write: ${instead}`,
    ),
  );
  console.log(wrong.length > 0 ? wrong.join("\n") : "Words: none to change.");
  process.exitCode = wrong.length > 0 ? 1 : 0;
}
