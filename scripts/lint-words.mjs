// Refuses banned words in comments and docs, docblocks that open with "What", and Markdown lines over 160 characters.
//
//   node scripts/lint-words.mjs           fails on violations that scripts/words-left.json does not list
//   node scripts/lint-words.mjs --list    prints all violations
//   node scripts/lint-words.mjs --write   lowers the numbers of words-left.json to those found; it raises none
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { BANNED, EXCEPTIONS, LINE, OPENING, RECORDS } from "./banned-words.mjs";
import { ts } from "./typescript.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const LEFT = join(root, "scripts/words-left.json");

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

/** All violations, by file. */
export function lint() {
  /** @type {Map<string, Violation[]>} */
  const found = new Map();
  for (const path of filesOf()) {
    const violations = violationsIn(path, readFileSync(join(root, path), "utf8"));
    if (violations.length > 0) found.set(path, violations);
  }
  return found;
}

/**
 * Holds what was found against what may be left in each folder.
 *
 * @param {ReadonlyMap<string, readonly Violation[]>} found
 * @param {Readonly<Record<string, number>>} left
 * @returns {{ counts: Record<string, number>, wrong: string[] }}
 */
export function compare(found, left) {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const [path, violations] of found) counts[dirname(path)] = (counts[dirname(path)] ?? 0) + violations.length;
  const wrong = [...new Set([...Object.keys(counts), ...Object.keys(left)])].sort().flatMap((folder) => {
    const [now, allowed] = [counts[folder] ?? 0, left[folder] ?? 0];
    if (now > allowed)
      return [
        `${folder}: ${now}, of which ${allowed} may be left`,
        ...[...found]
          .filter(([path]) => dirname(path) === folder)
          .flatMap(([path, list]) => list.map((one) => `  ${path}:${one.line}: ${one.found}. Write: ${one.instead}`)),
      ];
    return now < allowed ? [`${folder}: ${now} instead of ${allowed}. Run: node scripts/lint-words.mjs --write`] : [];
  });
  return { counts, wrong };
}

if (import.meta.main ?? argv[1] === fileURLToPath(import.meta.url)) {
  const found = lint();
  /** @type {Record<string, number>} */
  const left = existsSync(LEFT) ? JSON.parse(readFileSync(LEFT, "utf8")) : {};
  const { counts, wrong } = compare(found, left);
  if (argv.includes("--list"))
    for (const [path, list] of found) for (const one of list) console.log(`${path}:${one.line}: ${one.found}`);
  else if (argv.includes("--write")) {
    const kept = Object.keys(counts)
      .sort()
      .map((folder) => [folder, Math.min(counts[folder] ?? 0, left[folder] ?? 0)]);
    writeFileSync(LEFT, `${JSON.stringify(Object.fromEntries(kept.filter(([, count]) => count !== 0)), null, 2)}\n`);
  } else {
    console.log(wrong.length > 0 ? wrong.join("\n") : `Words: ${[...found.values()].flat().length} left, none new.`);
    process.exitCode = wrong.length > 0 ? 1 : 0;
  }
}
