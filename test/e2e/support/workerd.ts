import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { unstable_readConfig } from "wrangler";
import { FROM_SOURCES } from "../../../scripts/sources.mjs";

const require = createRequire(import.meta.url);
const wrangler = require.resolve("wrangler");
/** The runtime that this wrangler runs. */
const workerd = createRequire(wrangler)("workerd") as { readonly default: string };
const START_LIMIT_MS = 30_000;

export interface Workerd {
  readonly url: string;
  /** All that it has printed, line by line. */
  readonly lines: readonly string[];
  /** The first line that matches, printed already or still to come. */
  line(pattern: RegExp, timeoutMs?: number): Promise<string>;
  /** Kills it on the spot: nothing gets to say goodbye. */
  kill(): Promise<void>;
}

/** A Worker in the runtime itself, one process, its objects and their alarms on disk in `folder`: as often as wished. */
export class Runtime {
  readonly #folder: string;
  readonly #config: string;

  private constructor(folder: string, config: string) {
    this.#folder = folder;
    this.#config = config;
  }

  /** Bundles the Worker of `config` (a wrangler.jsonc, as seen from here) as wrangler deploys it. */
  static async bundle(config: string, folder: string): Promise<Runtime> {
    const path = fileURLToPath(new URL(config, import.meta.url));
    const args = [join(wrangler, "../../bin/wrangler.js"), "deploy", "--dry-run", "--config", path];
    const env = {
      ...process.env,
      ...FROM_SOURCES,
      CI: "1",
      WRANGLER_SEND_METRICS: "false",
      WRANGLER_LOG: "error",
    };
    const child = spawn(process.execPath, [...args, "--outdir", join(folder, "bundle")], {
      stdio: ["ignore", "ignore", "inherit"],
      env,
    });
    const [code] = await once(child, "exit");
    if (code !== 0) throw new Error("wrangler could not bundle the Worker.");
    await mkdir(join(folder, "objects"), { recursive: true });
    const capnp = join(folder, "config.capnp");
    const { main } = unstable_readConfig({ config: path }) as Config;
    const script = `${main?.replace(/^.*\//, "").replace(/\.ts$/, "") ?? "index"}.js`;
    await writeFile(capnp, runtimeConfig(path, script));
    return new Runtime(folder, capnp);
  }

  async start(): Promise<Workerd> {
    const child = spawn(workerd.default, ["serve", this.#config, "--control-fd=3"], {
      cwd: this.#folder,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    const lines: string[] = [];
    const waiting = new Set<() => void>();
    for (const stream of [child.stdout, child.stderr])
      createInterface({ input: stream as Readable }).on("line", (text) => {
        lines.push(text);
        for (const look of [...waiting]) look();
      });
    const exited = once(child, "exit");
    const line = (pattern: RegExp, timeoutMs = 20_000) =>
      new Promise<string>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`Waited for ${pattern}; printed was:\n${lines.join("\n")}`)),
          timeoutMs,
        );
        const look = () => {
          const found = lines.find((text) => pattern.test(text));
          if (found === undefined) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      });
    const kill = async () => {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await exited;
    };
    // Started, it tells on the descriptor 3 which port it got.
    const port = new Promise<number>((resolve, reject) => {
      createInterface({ input: child.stdio[3] as Readable }).on("line", (text) => {
        const message = JSON.parse(text) as { event: string; socket?: string; port: number };
        if (message.event === "listen" && message.socket === "http") resolve(message.port);
      });
      void exited.then(() => reject(new Error(`workerd ended.\n${lines.join("\n")}`)));
      setTimeout(() => reject(new Error(`workerd did not start.\n${lines.join("\n")}`)), START_LIMIT_MS).unref();
    });
    return { url: `http://127.0.0.1:${await port}`, lines, line, kill };
  }
}

/** What this needs of it: wrangler's own type is made of packages that it does not bring. */
interface Config {
  readonly main?: string;
  readonly compatibility_date: string;
  readonly durable_objects: { readonly bindings: readonly { readonly name: string; readonly class_name: string }[] };
}

/** The same bindings and classes as in wrangler.jsonc, in the runtime's own words. */
function runtimeConfig(path: string, script: string): string {
  const { compatibility_date, durable_objects } = unstable_readConfig({ config: path }) as Config;
  const text = JSON.stringify;
  const list = (items: readonly string[]) => `[${items.join(", ")}]`;
  const { bindings } = durable_objects;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "objects", disk = (path = "objects", writable = true)),
    (name = "internet", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed ${text(`bundle/${script}`)})],
  compatibilityDate = ${text(compatibility_date)},
  bindings = ${list(bindings.map(({ name, class_name }) => `(name = ${text(name)}, durableObjectNamespace = ${text(class_name)})`))},
  durableObjectNamespaces = ${list(
    bindings.map(
      ({ class_name }) => `(className = ${text(class_name)}, uniqueKey = ${text(class_name)}, enableSql = true)`,
    ),
  )},
  durableObjectStorage = (localDisk = "objects"),
);
`;
}
