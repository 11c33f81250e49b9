import { describe, expect, it } from "vitest";
import { violationsIn } from "../../scripts/lint-words.mjs";

const found = (path: string, text: string) => violationsIn(path, text).map(({ line, found }) => `${line}: ${found}`);

describe("the lint of words", () => {
  it.each([
    ["a comment", "const a = 1; // Nobody reads it.", ["1: Nobody"]],
    ["a comment at the end of a block", "function f() {\n  return 1;\n  // The store forgets it.\n}", ["3: forgets"]],
    ["a docblock", "/**\n * Claims jobs.\n * The worker is told.\n */\nexport const a = 1;", ["3: is told"]],
    ["a docblock of a member", "interface A {\n  /** The tab that knows. */\n  a: 1;\n}", ["2: knows"]],
    ["a unit", "/** Costs two rows a job. */\nconst a = 1;", ["1: rows a job"]],
    ["a docblock that opens with What", "/** What it costs. */\nconst a = 1;", ["1: a docblock opens with What"]],
    ["the same over several lines", "/**\n * What it costs.\n */\nconst a = 1;", ["1: a docblock opens with What"]],
  ])("finds it in %s", (_, text, expected) => {
    expect(found("packages/core/src/a.ts", text)).toEqual(expected);
  });

  it.each([
    ["strings", 'const a = "nobody // nobody", b = `nobody`, c = /nobody/;'],
    ["names", "const nobody = 1; // Reads `nobody`."],
    ["quotations", '// Answers "nobody".'],
    ["words of which a banned one is a part", "// Unknown names are listed again."],
    ["exceptions", "// `a` stands for alpha."],
  ])("leaves %s alone", (_, text) => {
    expect(found("packages/core/src/a.ts", text)).toEqual([]);
  });

  it("finds words and long lines in Markdown, but no words in code", () => {
    expect(found("docs/a.md", `Fine.\nWhoever adds it.\n${"x".repeat(161)}`)).toEqual([
      "2: Whoever",
      "3: 161 characters",
    ]);
    expect(found("docs/a.md", "x".repeat(160))).toEqual([]);
    expect(found("docs/a.md", `\`nobody\`\n\`\`\`ts\n// nobody ${"x".repeat(160)}\n\`\`\`\nnobody`)).toEqual([
      "3: 170 characters",
      "5: nobody",
    ]);
  });
});
