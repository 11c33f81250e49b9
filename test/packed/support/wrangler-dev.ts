import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { BARE } from "./commands.ts";

const START_LIMIT_MS = 60_000;

/** A Worker in the local runtime, as `wrangler dev` serves it. */
export interface DevServer {
  readonly url: string;
  close(): Promise<void>;
}

/** @param cli the script of the wrangler to run */
export async function wranglerDev(cli: string, folder: string): Promise<DevServer> {
  const child = spawn(process.execPath, [cli, "dev", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0"], {
    cwd: folder,
    env: BARE,
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own, so that the runtime ends with it.
    detached: true,
  });
  try {
    return { url: await addressOf(child), close: () => end(child) };
  } catch (error) {
    await end(child);
    throw error;
  }
}

function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = "";
    const fail = (why: string) => reject(new Error(`${why}\n${printed}`));
    const limit = setTimeout(() => fail("wrangler dev did not start in time:"), START_LIMIT_MS);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk) => {
        printed += chunk;
        const url = /Ready on (http:\S+)/.exec(printed)?.[1];
        if (url === undefined) return;
        clearTimeout(limit);
        resolve(url);
      });
    }
    child.on("close", () => fail("wrangler dev ended:"));
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, "close");
  process.kill(-(child.pid as number), "SIGTERM");
  await closed;
}
