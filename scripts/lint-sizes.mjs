// Refuses source files of the packages with more than 300 lines, and a median over 120. Prints the longest and the median.
//
//   node scripts/lint-sizes.mjs
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

const MOST_LINES = 300;
const MOST_MEDIAN = 120;

/** @typedef {{ path: string, lines: number }} Size */

/** The sizes of the packages' source files, longest first. @returns {Size[]} */
function sizes() {
  return globSync("packages/*/src/**/*.{ts,tsx}", { cwd: root })
    .map((path) => ({ path, lines: readFileSync(join(root, path), "utf8").trimEnd().split("\n").length }))
    .sort((a, b) => b.lines - a.lines);
}

/** The median number of lines, of sizes in order. @param {readonly Size[]} files */
const medianOf = (files) => files[Math.floor(files.length / 2)]?.lines ?? 0;

/** Says which of these sizes are refused. @param {readonly Size[]} files longest first @returns {string[]} */
export function refusedSizes(files) {
  const median = medianOf(files);
  return [
    ...files
      .filter(({ lines }) => lines > MOST_LINES)
      .map(({ path, lines }) => `${path}: ${lines} lines, at most ${MOST_LINES}. Simplify it, or move one whole idea.`),
    ...(median > MOST_MEDIAN ? [`The median is ${median} lines, at most ${MOST_MEDIAN}.`] : []),
  ];
}

if (import.meta.main ?? argv[1] === fileURLToPath(import.meta.url)) {
  const files = sizes();
  const refused = refusedSizes(files);
  console.log(
    [...refused, `Sizes: ${files.length} files, longest ${files[0]?.lines}, median ${medianOf(files)}.`].join("\n"),
  );
  process.exitCode = refused.length > 0 || files.length === 0 ? 1 : 0;
}
