import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { buildPackages, packages } from "../../../scripts/build-packages.mjs";
import { pnpm, ROOT, run } from "./commands.ts";

/** One package, as a user installs it. */
export interface Packed {
  /** `@quayside/core` */
  readonly name: string;
  /** The tarball. */
  readonly file: string;
  /** The tarball's content, as files. */
  readonly folder: string;
  readonly manifest: Manifest;
}

export interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly scripts?: unknown;
}

export type Packer = "npm" | "pnpm";

/** Packs all packages. The build of `prepack` is run for all of them at once, before. */
export async function packAll(folder: string): Promise<Record<Packer, readonly Packed[]>> {
  await buildPackages();
  const [npm, withPnpm] = await Promise.all([packWith("npm", folder), packWith("pnpm", folder)]);
  return { npm, pnpm: withPnpm };
}

/** Packs one package as a user of this repository does: it is built by its `prepack`. */
export async function packAlone(name: string, folder: string): Promise<Packed> {
  await mkdir(folder, { recursive: true });
  await run("npm", ["pack", "--pack-destination", folder], join(ROOT, "packages", name));
  const [file] = await readdir(folder);
  return unpack(join(folder, file as string), join(folder, "content"));
}

async function packWith(packer: Packer, folder: string): Promise<readonly Packed[]> {
  const packed: Packed[] = [];
  for (const path of packages) {
    const destination = join(folder, packer, path);
    await mkdir(destination, { recursive: true });
    const args = ["pack", "--ignore-scripts", "--pack-destination", destination];
    const cwd = join(ROOT, path);
    await (packer === "npm" ? run("npm", args, cwd) : pnpm(args, cwd));
    const [file] = await readdir(destination);
    packed.push(await unpack(join(destination, file as string), join(destination, "content")));
  }
  return packed;
}

async function unpack(file: string, folder: string): Promise<Packed> {
  await mkdir(folder);
  await run("tar", ["-xzf", file, "--strip-components=1", "-C", folder], folder);
  const manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as Manifest;
  return { name: manifest.name, file, folder, manifest };
}

/** Paths of all files of a package, in order. */
export async function filesOf({ folder }: Packed): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** An entry point that an app imports: `@quayside/core/cron`. */
export const entryPointsOf = ({ name, manifest }: Packed): readonly string[] =>
  Object.keys(manifest.exports).map((path) => name + path.slice(1));

/** The first block of code of a language in the README that is packed. */
export async function readmeCode({ folder, name }: Packed, language: string): Promise<string> {
  const readme = await readFile(join(folder, "README.md"), "utf8");
  const code = new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, "m").exec(readme)?.[1];
  if (code === undefined) throw new Error(`The README of ${name} has no code in ${language}.`);
  return code;
}
