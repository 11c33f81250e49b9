// Writes docs/reference from the docblocks of what the packages export: one page per entry.
//
//   node scripts/reference.mjs            writes the pages
//   node scripts/reference.mjs --check    fails on pages that are out of date, and on exports without a docblock
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { SOURCES } from "./sources.mjs";
import { ts } from "./typescript.mjs";

/** @typedef {import("./typescript.mjs").Node} Node */
/** @typedef {{ name: string, kind: string, signature: string, docblock: string, members: Member[], path: string }} Entry */
/** @typedef {{ name: string, docblock: string }} Member */

const root = fileURLToPath(new URL("..", import.meta.url));
const FOLDER = "docs/reference";

/** The entries of all packages: specifier, source file, page. */
function entriesOf() {
  return globSync("packages/*/package.json", { cwd: root })
    .sort()
    .flatMap((path) => {
      const { name, exports } = JSON.parse(readFileSync(join(root, path), "utf8"));
      return Object.entries(exports)
        .filter(([, target]) => target[SOURCES])
        .map(([subpath, target]) => ({
          specifier: join(name, subpath),
          source: join(dirname(path), target[SOURCES]),
          page: `${join(name, subpath).replace("@quayside/", "").replaceAll("/", "-")}.md`,
        }));
    });
}

/** Reads the sources without libraries: only which declaration an export leads to is asked. @param {string[]} files */
function programOf(files) {
  /** @type {import("../test/node_modules/typescript-5.9/lib/typescript.js").CompilerOptions} */
  const options = { noLib: true, types: [], allowImportingTsExtensions: true, noEmit: true, jsx: ts.JsxEmit.Preserve };
  const host = ts.createCompilerHost(options);
  host.resolveModuleNameLiterals = (names, from) =>
    names.map(({ text }) => {
      const path = join(dirname(from), text);
      if (!text.startsWith(".") || !existsSync(path)) return { resolvedModule: undefined };
      const extension = path.endsWith("x") ? ts.Extension.Tsx : ts.Extension.Ts;
      return { resolvedModule: { resolvedFileName: path, extension } };
    });
  return ts.createProgram(files, options, host);
}

/** The text of a docblock, without its marks. @param {Node} node */
function docblockOf(node) {
  // A module's own docblock is the first of those before its first statement.
  const block = ts.isSourceFile(node)
    ? /** @type {any} */ (node.statements[0])?.jsDoc?.[0]
    : ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc).at(-1);
  const text = block?.getText().replace(/^\/\*\*|\*\/$/g, "") ?? "";
  return text.replaceAll(/^[ \t]*\* ?/gm, "").trim();
}

/** Source text without comments. @param {string} text */
function bare(text) {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, "")
    .replaceAll(/^\s*\/\/.*$/gm, "")
    .replaceAll(/^\s*\n/gm, "")
    .trim();
}

/** Returns whether users may use a member: neither `#private` nor `private` nor `@internal`. @param {Node & { name?: any, modifiers?: any }} member */
const isPublic = (member) =>
  !(member.name && ts.isPrivateIdentifier(member.name)) &&
  !(
    ts.getCombinedModifierFlags(/** @type {any} */ (member)) &
    (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)
  ) &&
  !docblockOf(member).includes("@internal");

/** A declaration up to its body. @param {any} node @param {import("../test/node_modules/typescript-5.9/lib/typescript.js").SourceFile} file */
function headOf(node, file) {
  const end = node.body ? node.body.getFullStart() : node.getEnd();
  return bare(file.text.slice(node.getStart(file), end)).replace(/\s*(?:=>|\{)?\s*$/, "");
}

/** @param {any} node @returns {{ kind: string, signature: string, members: any[] }} */
function describe(node) {
  const file = node.getSourceFile();
  const strip = (/** @type {string} */ text) => text.replace(/^export (?:default )?/, "");
  if (ts.isClassDeclaration(node)) {
    const members = node.members.filter(isPublic).filter((member) => !ts.isClassStaticBlockDeclaration(member));
    const open = file.text.indexOf("{", (node.heritageClauses ?? node.typeParameters ?? node.name ?? node).end);
    const head = strip(bare(file.text.slice(node.getStart(file), open)));
    const heads = new Set(members.map((member) => `  ${headOf(withoutValue(member), file).replace(/;$/, "")};`));
    return { kind: "class", signature: `${head} {\n${[...heads].join("\n")}\n}`, members };
  }
  if (ts.isInterfaceDeclaration(node)) {
    return { kind: "interface", signature: strip(bare(node.getText(file))), members: [...node.members] };
  }
  if (ts.isFunctionDeclaration(node)) return { kind: "function", signature: strip(headOf(node, file)), members: [] };
  if (ts.isVariableDeclaration(node)) {
    const value = node.initializer;
    const object = value && ts.isAsExpression(value) ? value.expression : value;
    if (value && (ts.isArrowFunction(value) || ts.isFunctionExpression(value)) && !node.type)
      return { kind: "function", signature: `const ${node.name.getText(file)} = ${headOf(value, file)}`, members: [] };
    const members = object && ts.isObjectLiteralExpression(object) && !node.type ? [...object.properties] : [];
    const isShort = members.length > 0 || (value && value.getText(file).length < 80);
    const shown =
      node.type || !isShort
        ? `${node.name.getText(file)}${node.type ? `: ${node.type.getText(file)}` : ""}`
        : bare(node.getText(file));
    return { kind: "constant", signature: `const ${bare(shown)}`, members };
  }
  if (ts.isTypeAliasDeclaration(node)) {
    const type = node.type;
    return {
      kind: "type",
      signature: strip(bare(node.getText(file))),
      members: ts.isTypeLiteralNode(type) ? [...type.members] : [],
    };
  }
  if (ts.isSourceFile(node)) {
    const members = node.statements
      .filter(ts.isVariableStatement)
      .flatMap(({ declarationList: { declarations } }) => declarations);
    return {
      kind: "namespace",
      signature: members.map((one) => `const ${bare(one.getText(file))};`).join("\n"),
      members,
    };
  }
  return { kind: "export", signature: strip(headOf(node, file)), members: [] };
}

/** A property of a class is shown with its type, or else with its value. @param {any} member */
function withoutValue(member) {
  return ts.isPropertyDeclaration(member) && member.type && member.initializer
    ? { ...member, getStart: (/** @type {any} */ file) => member.getStart(file), getEnd: () => member.type?.getEnd() }
    : member;
}

/** @returns {{ specifier: string, page: string, source: string, exports: Entry[] }[]} */
function read() {
  const entries = entriesOf();
  const program = programOf(entries.map(({ source }) => join(root, source)));
  const checker = program.getTypeChecker();
  return entries.map((entry) => {
    const file = program.getSourceFile(join(root, entry.source));
    const symbol = file && checker.getSymbolAtLocation(file);
    const exported = (symbol ? checker.getExportsOfModule(symbol) : [])
      .flatMap((one) => {
        const target = one.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one;
        const declarations = target.declarations ?? [];
        const node = declarations.find((declaration) => docblockOf(declaration) !== "") ?? declarations[0];
        if (!node) return [];
        const { kind, signature, members } = describe(node);
        return [
          {
            name: one.name,
            kind,
            signature,
            docblock: docblockOf(node),
            path: node.getSourceFile().fileName.slice(root.length),
            members: members.flatMap((member) => {
              const docblock = docblockOf(member);
              const name = member.name?.getText() ?? (ts.isConstructorDeclaration(member) ? "constructor" : "");
              return docblock && name ? [{ name, docblock }] : [];
            }),
          },
        ];
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    return { ...entry, exports: exported };
  });
}

/** Markdown of a docblock: its prose, then its tags. @param {string} docblock @param {string} [indent] */
function markdown(docblock, indent = "") {
  const [prose = "", ...tags] = docblock.split(/^(?=@\w)/m).map((part) => part.trimEnd());
  const parts = tags.map((tag) => {
    const [, name = "", text = ""] = /^@(\w+)\s*([\s\S]*)$/.exec(tag) ?? [];
    if (name === "example") return `\`\`\`ts\n${text.replace(/^```\w*\n|\n```$/g, "").trimEnd()}\n\`\`\``;
    const title = { default: "Default:", defaultValue: "Default:", returns: "Returns", deprecated: "Deprecated." }[
      name
    ];
    if (name === "throws") return `**Throws** ${text.replace(/^\{(\w+)\}/, "`$1`:")}`;
    return title ? `**${title}** ${text}` : `**${name}** ${text}`;
  });
  return [prose.trim(), ...parts]
    .filter((part) => part !== "")
    .join("\n\n")
    .replaceAll(/\{@link (\w+)\}/g, "`$1`")
    .replaceAll(/^(?=.)/gm, indent)
    .trim();
}

/** The pages by file name. @param {ReturnType<typeof read>} entries */
function pagesOf(entries) {
  /** @type {Map<string, string>} */
  const pages = new Map();
  for (const { specifier, page, exports } of entries) {
    const sections = exports.map(({ name, kind, signature, docblock, members, path }) =>
      [
        `## ${name}`,
        `${kind[0]?.toUpperCase()}${kind.slice(1)} of [${path}](../../${path}).`,
        markdown(docblock),
        `\`\`\`ts\n${signature}\n\`\`\``,
        ...(members.length > 0
          ? [members.map((member) => `- \`${member.name}\`: ${markdown(member.docblock, "  ")}`).join("\n")]
          : []),
      ]
        .filter((part) => part !== "")
        .join("\n\n"),
    );
    const head = `# ${specifier}\n\nMade from the docblocks of the sources by \`scripts/reference.mjs\`.`;
    pages.set(page, `${[head, ...sections].join("\n\n")}\n`);
  }
  const list = entries.map(({ specifier, page, exports }) => `- [${specifier}](${page}): ${exports.length} exports`);
  pages.set(
    "README.md",
    `# Reference\n\nAll exports of the packages, with their docblocks. Made by \`scripts/reference.mjs\`.\n\n${list.join("\n")}\n`,
  );
  return pages;
}

/** Says which pages are out of date, and which exports have no docblock. @returns {string[]} */
export function staleReference() {
  const entries = read();
  const pages = pagesOf(entries);
  const there = globSync("*.md", { cwd: join(root, FOLDER) });
  return [
    ...entries.flatMap(({ specifier, exports }) =>
      exports.filter(({ docblock }) => docblock === "").map(({ name }) => `${specifier}: ${name} has no docblock`),
    ),
    ...there.filter((page) => !pages.has(page)).map((page) => `${FOLDER}/${page} has no entry`),
    ...[...pages]
      .filter(([page, text]) => !there.includes(page) || readFileSync(join(root, FOLDER, page), "utf8") !== text)
      .map(([page]) => `${FOLDER}/${page} is out of date: run node scripts/reference.mjs`),
  ];
}

if (import.meta.main ?? argv[1] === fileURLToPath(import.meta.url)) {
  if (argv.includes("--check")) {
    const stale = staleReference();
    console.log(stale.length > 0 ? stale.join("\n") : "The reference is up to date.");
    process.exitCode = stale.length > 0 ? 1 : 0;
  } else {
    rmSync(join(root, FOLDER), { recursive: true, force: true });
    mkdirSync(join(root, FOLDER), { recursive: true });
    for (const [page, text] of pagesOf(read())) writeFileSync(join(root, FOLDER, page), text);
  }
}
