import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Rollup } from "vite";

/** Bytes of what was built. */
export interface BundleSize {
  readonly minified: number;
  /** At level 9, as a server compresses files beforehand. */
  readonly gzip: number;
  /** Modules with their share of the code, before it is minified. */
  readonly shares: ReadonlyMap<string, number>;
}

const ENTRY = "bundle-size-entry.js";

/**
 * Bundles and minifies a module as a web app does.
 *
 * @param source the text of the module; its exports are kept
 * @param folder where its imports are looked up
 */
export async function bundleSize(source: string, folder: string): Promise<BundleSize> {
  const entry = join(folder, ENTRY);
  const output = await build({
    root: folder,
    configFile: false,
    logLevel: "error",
    plugins: [
      {
        name: "bundle-size",
        enforce: "pre",
        resolveId: (id) => (id === entry ? entry : null),
        load: (id) => (id === entry ? source : null),
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
  const code = chunks.map((chunk) => chunk.code).join("\n");
  if (code.length < 100) throw new Error("Nothing was bundled.");
  const modules = chunks.flatMap((chunk) => Object.entries(chunk.modules));
  const rendered = modules.reduce((sum, [, { renderedLength }]) => sum + renderedLength, 0);
  return {
    minified: Buffer.byteLength(code),
    gzip: gzipSync(code, { level: 9 }).byteLength,
    shares: new Map(modules.map(([id, { renderedLength }]) => [id, renderedLength / rendered])),
  };
}
