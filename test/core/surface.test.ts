import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";

const PACKAGES = join(import.meta.dirname, "../../packages");

interface Export {
  readonly name: string;
  readonly isValue: boolean;
  /** The module that declares it or exports it again. */
  readonly path: string;
  /** Its name there. */
  readonly source: string;
}

/** The names that a module exports from others. */
function exportsOf(path: string): Export[] {
  return [...readFileSync(path, "utf8").matchAll(/export (type )?\{([^}]*)\} from "([^"]+)"/g)].flatMap(
    ([, types, list = "", from = ""]) =>
      list.split(",").flatMap((item): Export[] => {
        const [, type, source, name] = /^(type )?(\w+)(?: as (\w+))?$/.exec(item.trim()) ?? [];
        if (source === undefined) return [];
        return [{ name: name ?? source, isValue: !types && !type, path: join(dirname(path), from), source }];
      }),
  );
}

/** Returns the docblock before the declaration of an export. */
function docblockOf({ path, source }: Export): string | undefined {
  const text = readFileSync(path, "utf8");
  const declared = new RegExp(
    `^export (?:abstract )?(?:async )?(?:class|function\\*?|const|interface|type) ${source}\\b`,
    "m",
  ).exec(text);
  if (declared) {
    const before = text.slice(0, declared.index).trimEnd();
    return before.endsWith("*/") ? before.slice(before.lastIndexOf("/**")) : undefined;
  }
  const again = exportsOf(path).find(({ name }) => name === source);
  return again && existsSync(again.path) ? docblockOf(again) : undefined;
}

describe.each([
  { name: "core", values: 27 },
  { name: "browser", values: 16 },
  { name: "edge", values: 24 },
  { name: "testing", values: 13 },
])("the index of $name", ({ name, values }) => {
  const all = exportsOf(join(PACKAGES, name, "src/index.ts"));

  it(`exports at most ${values} values`, () => {
    const found = all.filter(({ isValue }) => isValue).map((one) => one.name);
    expect(found.length).toBeGreaterThan(5);
    expect(found.length, found.join(", ")).toBeLessThanOrEqual(values);
  });

  it("documents each export", () => {
    expect(all.filter((one) => docblockOf(one) === undefined).map((one) => one.name)).toEqual([]);
  });

  it('opens no docblock with "What"', () => {
    const opening = /^\/\*\*\s*(?:\* )?What\b/;
    expect(all.filter((one) => opening.test(docblockOf(one) ?? "")).map((one) => one.name)).toEqual([]);
  });
});
