import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { driverConformance, storeConformance, type TestRunner, workerConformance } from "@quayside/testing";
import { describe, expect, it } from "vitest";

// The pages of docs/ link the tests of each rule and capability, and quote some of their titles. Both must exist.

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string) => readFileSync(`${root}${path}`, "utf8");

/** Titles as a suite declares them; nothing is run. */
function titlesOf(declare: (runner: TestRunner) => unknown): Set<string> {
  const titles = new Set<string>();
  declare({
    describe(name, define) {
      titles.add(name);
      define();
    },
    it: (name) => void titles.add(name),
    expect: () => {
      throw new Error("A suite that is only declared expects nothing.");
    },
  });
  return titles;
}

const never = () => Promise.reject(new Error("A suite that is only declared opens nothing."));

/** Titles as they are written in a file, `%s` and all. */
function titlesIn(path: string): Set<string> {
  const calls =
    /\b(?:it|test|describe)(?:\.\w+)*(?:\.(?:each|runIf)(?:<[^(]*>)?\([\s\S]*?\)\s*)?\(\s*("(?:[^"\\]|\\.)*"|'[^']*'|`[^`]*`)/g;
  return new Set(
    [...read(path).matchAll(calls)].map(([, quoted = ""]) => quoted.slice(1, -1).replaceAll(/\\(["'`\\])/g, "$1")),
  );
}

const ofSuites = new Set([
  ...titlesOf((runner) => driverConformance(runner, never)),
  ...titlesOf((runner) => workerConformance(runner, never)),
  ...titlesOf((runner) => storeConformance(runner, never)),
]);

/** A heading of a page, and the text up to the next one. */
interface Section {
  readonly heading: string;
  readonly text: string;
  /** Local files that it links, as paths from the root. */
  readonly links: readonly string[];
}

function sectionsOf(path: string): Section[] {
  return read(path)
    .split(/^(?=#{1,3} )/m)
    .map((section) => {
      const [heading = "", ...lines] = section.split("\n");
      const text = lines.join("\n");
      const links = [...text.matchAll(/\]\((?!https?:)([^)#\s]+)/g)].map(([, link = ""]) => join(path, "..", link));
      return { heading, text, links };
    });
}

const isTest = (path: string) => /^(?:test\/.*\.test(?:-d)?\.tsx?|packages\/testing\/src\/.*\.ts)$/.test(path);

/** Says whether a file declares a test or suite of a title. Titles of our suites are made when they are declared. */
const declares = (path: string, title: string) =>
  path.startsWith("packages/testing/") ? ofSuites.has(title) : titlesIn(path).has(title);

describe.each(["docs/features.md", "docs/rules.md"])("%s", (path) => {
  const sections = sectionsOf(path);

  it("links only files that exist", () => {
    const missing = sections.flatMap(({ links }) => links).filter((link) => !existsSync(root + link));
    expect(missing).toEqual([]);
  });

  it("quotes only tests that exist, in a file that the section links", () => {
    const quoted = sections.flatMap(({ text, links }) =>
      [...text.matchAll(/^- `([^`]+)`$/gm)].map(([, title = ""]) => ({ title, links })),
    );
    const missing = quoted.filter(({ title, links }) => !links.some((link) => isTest(link) && declares(link, title)));
    if (path === "docs/rules.md") expect(quoted.length).toBeGreaterThan(40);
    expect(missing.map(({ title }) => title)).toEqual([]);
  });
});

it("docs/rules.md has a section for each rule, which links a test that names the rule", () => {
  const sections = sectionsOf("docs/rules.md");
  const untested = Array.from({ length: 42 }, (_, index) => `R${index + 1}`).filter((rule) => {
    const [section, ...others] = sections.filter(({ heading }) => heading.startsWith(`### ${rule}. `));
    if (!section || others.length > 0) return true;
    const names = (link: string) => isTest(link) && new RegExp(`\\b${rule}\\b`).test(read(link));
    return !/^Later: \S/m.test(section.text) && !section.links.some(names);
  });
  expect(untested).toEqual([]);
});

it("the suites have a case for each rule that holds on every driver", () => {
  const tested = new Set([...ofSuites].map((title) => /^R\d+/.exec(title)?.[0]));
  const untested = Array.from({ length: 25 }, (_, index) => `R${index + 1}`).filter((rule) => !tested.has(rule));
  expect(untested).toEqual([]);
});

it("docs/features.md links a test of each capability, or says why there is none", () => {
  const items = sectionsOf("docs/features.md").flatMap(({ text }) => text.match(/^- (?:.|\n(?! *\n|- ))*/gm) ?? []);
  const isTested = (item: string) =>
    [...item.matchAll(/\]\(\.\.\/([^)]+)\)/g)].some(([, link = ""]) => isTest(link)) || /No test:\s+\S/.test(item);
  expect(items.length).toBeGreaterThan(100);
  expect(items.filter((item) => !item.startsWith("- `R") && !isTested(item))).toEqual([]);
});

describe.each([
  "CONTRIBUTING.md",
  "SECURITY.md",
  ...globSync("packages/*/README.md", { cwd: root }),
  ...globSync("docs/decisions/*.md", { cwd: root }),
])("%s", (path) => {
  it("names only files that exist", () => {
    const page = read(path);
    const links = [...page.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, link = ""]) => join(path, "..", link));
    const named = page.matchAll(/(?<![\w./])(?:packages|apps|templates|test|docs|scripts|bench)\/[\w./-]*\w/g);
    const missing = [...links, ...[...named].map(([file]) => file)].filter((file) => !existsSync(root + file));
    expect(missing).toEqual([]);
  });
});

it("docs/decisions/README.md lists every decision by its title", () => {
  const titles = globSync("docs/decisions/[0-9]*.md", { cwd: root }).map((path) => {
    const file = path.slice("docs/decisions/".length);
    return `- [${file.slice(0, 3)}](${file}): ${read(path).split("\n", 1)[0]?.slice(2)}`;
  });
  const listed = read("docs/decisions/README.md")
    .split("\n")
    .filter((line) => line.startsWith("- "));
  expect(listed).toEqual(titles.sort());
});
