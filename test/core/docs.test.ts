import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { driverConformance, storeConformance, type TestRunner, workerConformance } from "@quayside/testing";
import { describe, expect, it } from "vitest";

// The tables of docs/ say which test shows what. Here each quoted title must be that of a test which exists.

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

/** Titles as they stand in the source, `%s` and all. */
function titlesIn(folder: string): Set<string> {
  const titles = new Set<string>();
  for (const path of globSync(`test/${folder}/**/*.test{,-d}.ts{,x}`, { cwd: root })) {
    const calls =
      /\b(?:it|test|describe)(?:\.\w+)*(?:\.(?:each|runIf)(?:<[^(]*>)?\([\s\S]*?\)\s*)?\(\s*("(?:[^"\\]|\\.)*"|'[^']*'|`[^`]*`)/g;
    for (const [, quoted = ""] of read(path).matchAll(calls))
      titles.add(quoted.slice(1, -1).replaceAll(/\\(["'`\\])/g, "$1"));
  }
  return titles;
}

const places: Record<string, Set<string>> = {
  conformance: titlesOf((runner) => driverConformance(runner, never)),
  worker: titlesOf((runner) => workerConformance(runner, never)),
  store: titlesOf((runner) => storeConformance(runner, never)),
  ...Object.fromEntries(
    ["core", "model", "types", "browser", "edge", "e2e", "faults"].map((folder) => [folder, titlesIn(folder)]),
  ),
};

interface Row {
  readonly cells: readonly string[];
  /** `place: title`, as the last cell quotes them. */
  readonly quoted: readonly { readonly place: string; readonly title: string }[];
}

/** The rows of all tables of a page, without their heads. */
function rowsOf(page: string): Row[] {
  const rows: Row[] = [];
  let head = true;
  for (const line of page.split("\n")) {
    if (!line.startsWith("|")) head = true;
    else if (/^\|[\s|:-]+$/.test(line)) head = false;
    else if (!head) {
      const cells = line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim());
      rows.push({ cells, quoted: quotedIn(cells[cells.length - 1] ?? "") });
    }
  }
  return rows;
}

function quotedIn(cell: string): Row["quoted"] {
  const quoted: { place: string; title: string }[] = [];
  let place = "";
  for (const [, named, title] of cell.matchAll(/(\w+): |`([^`]+)`/g)) {
    if (named !== undefined) place = named;
    else quoted.push({ place, title: title as string });
  }
  return quoted;
}

describe.each(["docs/features.md", "docs/rules.md"])("%s", (path) => {
  const rows = rowsOf(read(path));

  it("quotes only tests that exist, where it says they are", () => {
    const missing = rows
      .flatMap(({ quoted }) => quoted)
      .filter(({ place, title }) => !places[place]?.has(title) && !(title.includes("/") && existsSync(root + title)))
      .map(({ place, title }) => `${place}: ${title}`);
    expect(missing).toEqual([]);
  });

  it("leaves no row without a test, or a reason why there is none", () => {
    const bare = rows
      .filter(({ quoted, cells }) => quoted.length === 0 && !/^(none|later): \S/.test(cells[cells.length - 1] ?? ""))
      .map(({ cells }) => cells[0]);
    expect(rows.length).toBeGreaterThan(30);
    expect(bare).toEqual([]);
  });
});

it("docs/rules.md has a row for each rule, and the suites a case for each but those that come later", () => {
  const rows = rowsOf(read("docs/rules.md"));
  const rules = new Set(rows.map(({ cells }) => /^R\d+/.exec(cells[0] ?? "")?.[0]));
  const missing = Array.from({ length: 27 }, (_, index) => `R${index + 1}`).filter((rule) => !rules.has(rule));
  expect(missing).toEqual([]);
  const tested = new Set(
    [...(places["conformance"] ?? []), ...(places["worker"] ?? [])].map((t) => /^R\d+/.exec(t)?.[0]),
  );
  const untested = Array.from({ length: 25 }, (_, index) => `R${index + 1}`).filter((rule) => !tested.has(rule));
  expect(untested).toEqual([]);
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
