import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Rollup } from "vite";
import { fromSources } from "../../scripts/sources.mjs";

/** Bytes of what was built. Code that is loaded later, by `import()`, counts as `later` alone. */
export interface BundleSize {
  readonly minified: number;
  /** At level 9, as a server compresses files beforehand. */
  readonly gzip: number;
  /** Bytes of the chunks that are loaded later, gzipped; 0 where there are none. */
  readonly later: number;
  /** Modules with their share of the code, before it is minified. */
  readonly shares: ReadonlyMap<string, number>;
}

const ENTRY = "bundle-size-entry.js";

const PRELOAD_HELPER = "\0vite/preload-helper.js";

const EXPORTED = /^export (?:async )?(?:function\*?|const|class) (\w+)/gm;

async function emptied(path: string): Promise<string> {
  const names = [...(await readFile(path, "utf8")).matchAll(EXPORTED)].map(([, name]) => name);
  return names.map((name) => `export const ${name} = 0;`).join("\n");
}

export interface BundleOptions {
  /** Folder in which the imports are looked up. Default: `bench`, which depends on all our packages and on their peers. */
  readonly folder?: string;
  /** Whether our packages are read as their users get them, from `dist`, which must be built. Default: `false`, from their sources. */
  readonly built?: boolean;
  /**
   * Ends of the paths of modules to leave out: each of their exports becomes 0. Such a bundle does not run; its size is the
   * least that a bundle without them would have.
   */
  readonly without?: readonly string[];
}

const BENCH = fileURLToPath(new URL("..", import.meta.url));

/**
 * Bundles and minifies a module as a web app does.
 *
 * @param source the text of the module; its exports are kept
 */
export async function bundleSize(
  source: string,
  { folder = BENCH, built = false, without = [] }: BundleOptions = {},
): Promise<BundleSize> {
  const entry = join(folder, ENTRY);
  const output = await build({
    root: folder,
    configFile: false,
    logLevel: "error",
    plugins: [
      built ? null : fromSources(),
      {
        name: "bundle-size",
        enforce: "pre",
        resolveId: (id) => (id === entry ? entry : null),
        load: (id) => (id === entry ? source : null),
      },
      {
        // Vite's own loader of chunks is no code of ours: an app has it once, for all of its chunks.
        name: "no-loader",
        enforce: "pre",
        load: (id) => (id === PRELOAD_HELPER ? "export const __vitePreload = (load) => load();" : null),
      },
      {
        name: "left-out",
        enforce: "pre",
        load: (id) => (without.some((end) => id.endsWith(end)) ? emptied(id) : null),
      },
    ],
    build: {
      write: false,
      minify: true,
      target: "es2022",
      modulePreload: false,
      rollupOptions: { input: entry, preserveEntrySignatures: "strict" },
    },
  });
  const chunks = (output as Rollup.RollupOutput).output.filter((chunk) => chunk.type === "chunk");
  const first = loadedFirst(chunks);
  const codeOf = (some: readonly Rollup.OutputChunk[]) => some.map((chunk) => chunk.code).join("\n");
  const code = codeOf(first);
  const later = codeOf(chunks.filter((chunk) => !first.includes(chunk)));
  if (code.length < 100) throw new Error("Nothing was bundled.");
  const modules = first.flatMap((chunk) => Object.entries(chunk.modules));
  const rendered = modules.reduce((sum, [, { renderedLength }]) => sum + renderedLength, 0);
  return {
    minified: Buffer.byteLength(code),
    gzip: gzipSync(code, { level: 9 }).byteLength,
    later: later === "" ? 0 : gzipSync(later, { level: 9 }).byteLength,
    shares: new Map(modules.map(([id, { renderedLength }]) => [id, renderedLength / rendered])),
  };
}

/** The entry and all that it imports statically, directly or not. */
function loadedFirst(chunks: readonly Rollup.OutputChunk[]): readonly Rollup.OutputChunk[] {
  const first = new Set(chunks.filter(({ isEntry }) => isEntry));
  for (const { imports } of first) for (const chunk of chunks) if (imports.includes(chunk.fileName)) first.add(chunk);
  return [...first];
}
