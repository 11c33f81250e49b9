import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unstable_readConfig } from "wrangler";
import { FROM_SOURCES } from "../../scripts/sources.mjs";

const START_LIMIT_MS = 30_000;

export interface Workerd {
  readonly url: string;
  readonly version: string;
  /** Port of the profiler, where it was asked for. */
  readonly inspector: number | undefined;
  close(): Promise<void>;
}

/**
 * The Worker of `worker/`, bundled as wrangler deploys it, in the runtime itself, on its own socket, its objects on disk
 * in a folder of their own: no development server stands between, whose proxy would be what is measured.
 *
 * @param inspected with a profiler to be attached to it.
 */
export async function startWorkerd(inspected = false): Promise<Workerd> {
  const folder = await mkdtemp(join(tmpdir(), "quayside-bench-edge-"));
  const removed = () => rm(folder, { recursive: true, force: true });
  try {
    await mkdir(join(folder, "objects"));
    await bundle(join(folder, "bundle"));
    const config = join(folder, "config.capnp");
    await writeFile(config, runtimeConfig(join(folder, "objects")));
    const { url, inspector, stop } = await serve(config, inspected);
    return {
      url,
      inspector,
      version: workerd.version,
      close: async () => {
        await stop();
        await removed();
      },
    };
  } catch (error) {
    await removed();
    throw error;
  }
}

const require = createRequire(import.meta.url);
const wrangler = require.resolve("wrangler");
/** The runtime that this wrangler runs. */
const workerd = createRequire(wrangler)("workerd") as { readonly default: string; readonly version: string };

const CONFIG = fileURLToPath(new URL("worker/wrangler.jsonc", import.meta.url));

async function bundle(folder: string): Promise<void> {
  const cli = join(wrangler, "../../bin/wrangler.js");
  const args = [cli, "deploy", "--dry-run", "--outdir", folder, "--config", CONFIG];
  const env = {
    ...process.env,
    ...FROM_SOURCES,
    CI: "1",
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_LOG: "error",
  };
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"], env });
  const code = await new Promise((resolve) => child.on("exit", resolve));
  if (code !== 0) throw new Error("wrangler could not bundle the Worker.");
}

/** What this needs of it: wrangler's own type is made of packages that it does not bring. */
interface Config {
  readonly compatibility_date: string;
  readonly compatibility_flags: readonly string[];
  readonly durable_objects: { readonly bindings: readonly { readonly name: string; readonly class_name: string }[] };
}

/** The same bindings and classes as in wrangler.jsonc, in the runtime's own words. */
function runtimeConfig(objects: string): string {
  const { compatibility_date, compatibility_flags, durable_objects } = unstable_readConfig({
    config: CONFIG,
  }) as Config;
  const text = JSON.stringify;
  const list = (items: readonly string[]) => `[${items.join(", ")}]`;
  const { bindings } = durable_objects;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "objects", disk = (path = ${text(objects)}, writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
  # Part of Miniflare, not of the runtime; the Agents SDK imports it, and nobody sends mail here.
  extensions = [(modules = [(
    name = "cloudflare-internal:email", internal = true, esModule = "export default { EmailMessage: class {} };"
  )])],
);
const main :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed "bundle/index.js")],
  compatibilityDate = ${text(compatibility_date)},
  compatibilityFlags = ${list(compatibility_flags.map((flag) => text(flag)))},
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

/** Started, it tells on the descriptor 3 which ports it got. */
async function serve(
  config: string,
  inspected: boolean,
): Promise<{ url: string; inspector: number | undefined; stop: () => Promise<void> }> {
  const args = ["serve", config, "--control-fd=3", ...(inspected ? ["--inspector-addr=127.0.0.1:0"] : [])];
  const child = spawn(workerd.default, args, { stdio: ["ignore", "pipe", "pipe", "pipe"] });
  const exited = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  // The Agents SDK warns of every backlog. What was said last is told if the runtime does not come up.
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk) => (said = `${said}${chunk}`.slice(-4_000)));
  const stop = async () => {
    child.kill();
    await exited;
  };
  const listening = new Promise<{ http: number; inspector: number | undefined }>((resolve, reject) => {
    let heard = "";
    child.stdio[3]?.on("data", (chunk) => {
      heard += chunk;
      const messages = heard
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Listening);
      const http = messages.find(({ socket }) => socket === "http");
      const inspector = messages.find(({ event }) => event === "listen-inspector");
      if (http && (inspector || !inspected)) resolve({ http: http.port, inspector: inspector?.port });
    });
    void exited.then(() => reject(new Error(`workerd ended.\n${said}`)));
    setTimeout(() => reject(new Error(`workerd did not start in time.\n${said}`)), START_LIMIT_MS).unref();
  });
  try {
    const { http, inspector } = await listening;
    return { url: `http://127.0.0.1:${http}`, inspector, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Listening {
  readonly event: "listen" | "listen-inspector";
  readonly socket?: string;
  readonly port: number;
}
