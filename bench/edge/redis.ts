import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import { ensureRedis } from "./find-redis.ts";

const START_LIMIT_MS = 10_000;

export interface RedisServer {
  readonly port: number;
  readonly version: string;
  close(): Promise<void>;
}

/** A Redis of our own on a free loopback port, in memory alone; undefined where there is none to start. */
export async function startRedis(): Promise<RedisServer | undefined> {
  const path = await ensureRedis();
  if (path === undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "quayside-bench-redis-"));
  const port = await freePort();
  const server = spawn(
    path,
    ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"],
    { stdio: "ignore" },
  );
  const ended = new Promise<void>((resolve) => {
    server.on("error", () => resolve());
    server.on("exit", () => resolve());
  });
  const close = async () => {
    server.kill();
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    return { port, version: await versionOf(port, server), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Once it answers. */
async function versionOf(port: number, server: ChildProcess): Promise<string> {
  const client = new Redis({ port, host: "127.0.0.1", lazyConnect: true, retryStrategy: () => 50 });
  client.on("error", () => {});
  try {
    for (const limit = Date.now() + START_LIMIT_MS; ; await pause(50)) {
      if (server.exitCode !== null || Date.now() > limit) throw new Error("The Redis server did not start.");
      const info = await client.info("server").catch(() => undefined);
      if (info !== undefined) return /redis_version:(\S+)/.exec(info)?.[1] ?? "unknown";
    }
  } finally {
    client.disconnect();
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
