// The parser and type checker of TypeScript 5.9, which the tests install: TypeScript 7 has neither in JavaScript.
import { createRequire } from "node:module";

/** @typedef {import("../test/node_modules/typescript-5.9/lib/typescript.js").Node} Node */
/** @typedef {import("../test/node_modules/typescript-5.9/lib/typescript.js").Symbol} TsSymbol */

/** @type {typeof import("../test/node_modules/typescript-5.9/lib/typescript.js")} */
export const ts = createRequire(new URL("../test/package.json", import.meta.url))("typescript-5.9");
