import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const demo = fileURLToPath(new URL("../../../apps/demo", import.meta.url));
const vite = join(demo, "node_modules/vite/bin/vite.js");
const READY_MS = 30_000;

export const TOKEN = "dev-token";

export interface DemoServer {
  readonly url: string;
  /** All that it has printed, line by line; each request to the Worker is one: `GET /api/inbox 200 OK (3ms)`. */
  readonly lines: readonly string[];
  /** The first line that matches, printed already or still to come. */
  line(pattern: RegExp): Promise<string>;
  /** Asks the API, with the token. */
  get<T>(path: string): Promise<T>;
  /** Kills it and its workerd on the spot: nothing gets to say goodbye. */
  kill(): Promise<void>;
}

/** Builds page and Worker, as `npm start` does. */
export async function buildDemo(): Promise<void> {
  await promisify(execFile)(process.execPath, [vite, "build", "--logLevel", "warn"], { cwd: demo });
}

/** Serves what was built, as `npm start` does. `state`: the folder of what the Durable Objects store. */
export async function startDemo(state: string, port?: number): Promise<DemoServer> {
  const chosen = port ?? (await freePort());
  const server = spawn(process.execPath, [vite, "preview"], {
    cwd: demo,
    env: { ...process.env, PORT: String(chosen), QUAYSIDE_DEMO_STATE: state, NO_COLOR: "1", FORCE_COLOR: undefined },
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own, so that all of it can be killed at once.
    detached: true,
  });
  const output = new Output(server);
  const url = `http://localhost:${chosen}`;
  const kill = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, "exit");
    process.kill(-(server.pid as number), "SIGKILL");
    await gone;
  };
  try {
    await output.line(/Local:/, READY_MS);
  } catch (error) {
    await kill();
    throw error;
  }
  return {
    url,
    lines: output.lines,
    line: (pattern) => output.line(pattern),
    get: async <T>(path: string) => {
      const response = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${TOKEN}` } });
      if (!response.ok) throw new Error(`GET ${path} answered ${response.status}: ${await response.text()}`);
      return (await response.json()) as T;
    },
    kill,
  };
}

/** What a process prints, and who waits for a line of it. */
class Output {
  readonly lines: string[] = [];
  readonly #waiting = new Set<() => void>();
  #ended = false;

  constructor(process: ChildProcess) {
    for (const stream of [process.stdout, process.stderr]) {
      if (stream) createInterface({ input: stream }).on("line", (line) => this.#add(line));
    }
    process.on("exit", () => {
      this.#ended = true;
      this.#tell();
    });
  }

  line(pattern: RegExp, timeoutMs = 20_000): Promise<string> {
    return new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const fail = (why: string) => {
        stop();
        reject(new Error(`${why} Waited for ${pattern}; printed was:\n${this.lines.join("\n")}`));
      };
      const look = () => {
        const found = this.lines.find((line) => pattern.test(line));
        if (found !== undefined) {
          stop();
          resolve(found);
        } else if (this.#ended) fail("The demo has ended.");
      };
      const timer = setTimeout(() => fail(`The demo did not print it in ${timeoutMs} ms.`), timeoutMs);
      this.#waiting.add(look);
      look();
    });
  }

  #add(line: string): void {
    this.lines.push(line);
    this.#tell();
  }

  #tell(): void {
    for (const look of [...this.#waiting]) look();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "localhost");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("No port");
  return address.port;
}
