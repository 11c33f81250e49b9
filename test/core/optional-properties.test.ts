import { expect, it } from "vitest";
import { refusedProperties } from "../../scripts/lint-optional.mjs";

it("the lint of optional properties refuses those that do not accept undefined", () => {
  const source = [
    "interface A { readonly a?: string; b?: string | undefined; c: number; d?: unknown }",
    "type B = { readonly e?: (() => void) | undefined; f?: () => undefined };",
    "type C<T> = T extends { g?: infer X } ? X : never;",
    "class D { h?: number; #i: number | undefined }",
  ].join("\n");
  expect(refusedProperties("a.ts", source)).toEqual([
    { line: 1, name: "a" },
    { line: 2, name: "f" },
    { line: 4, name: "h" },
  ]);
});
