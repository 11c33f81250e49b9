import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT, run, runNode } from "./commands.ts";
import { entryPointsOf, type Packed } from "./pack.ts";

const PROJECTS = fileURLToPath(new URL("../projects", import.meta.url));

/** The compilers that our declarations are held against: the newest, and the last that is written in JavaScript. */
export const COMPILERS = ["typescript", "typescript-5.9"] as const;
export const RESOLUTIONS = ["bundler", "nodenext"] as const;

const require = createRequire(import.meta.url);

/** A project outside of the workspace, with the packed packages from npm's hand. */
export class Project {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Copies `from` (a folder of `projects`, or a path from the root), adds the packages to what it depends on, installs all. */
  static async install(from: string, folder: string, packages: readonly Packed[]): Promise<Project> {
    const source = from.includes("/") ? join(ROOT, from) : join(PROJECTS, from);
    await cp(source, folder, { recursive: true, filter: (path) => !/node_modules|\.wrangler|\.dev\.vars$/.test(path) });
    const manifest = join(folder, "package.json");
    const { dependencies, ...rest } = JSON.parse(await readFile(manifest, "utf8"));
    const packed = Object.fromEntries(packages.map(({ name, file }) => [name, `file:${file}`]));
    await writeFile(manifest, JSON.stringify({ ...rest, dependencies: { ...dependencies, ...packed } }));
    await run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"], folder);
    return new Project(folder);
  }

  async write(path: string, content: string): Promise<void> {
    await mkdir(dirname(join(this.folder, path)), { recursive: true });
    await writeFile(join(this.folder, path), content);
  }

  /** Writes a module that has all that these packages export, but for the entry points in `without`. */
  async writeEveryImport(packages: readonly Packed[], without: readonly string[] = []): Promise<void> {
    const entries = packages.flatMap(entryPointsOf).filter((entry) => !without.includes(entry));
    const lines = entries.map((entry, index) => `export * as entry${index} from ${JSON.stringify(entry)};\n`);
    await this.write("src/every.ts", lines.join(""));
  }

  /**
   * Checks the types of `src`, those of its libraries too, and writes its JavaScript to `out`.
   *
   * @param lib globals of the language and of the DOM
   * @param types packages that declare globals
   */
  async compile(
    compiler: (typeof COMPILERS)[number],
    resolution: (typeof RESOLUTIONS)[number],
    lib: readonly string[],
    types: readonly string[],
  ): Promise<void> {
    const config = {
      compilerOptions: {
        target: "ES2022",
        lib: ["ES2022", ...lib],
        types,
        module: resolution === "bundler" ? "esnext" : "nodenext",
        moduleResolution: resolution,
        jsx: "react-jsx",
        strict: true,
        skipLibCheck: false,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        verbatimModuleSyntax: true,
        rootDir: "src",
        outDir: "out",
      },
      include: ["src"],
    };
    const file = `tsconfig.${compiler}.${resolution}.json`;
    await this.write(file, JSON.stringify(config));
    const tsc = join(dirname(require.resolve(`${compiler}/package.json`)), "bin/tsc");
    await runNode([tsc, "-p", file, "--pretty", "false"], this.folder);
  }
}
