import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

/** A page in WebKitGTK's own small browser. */
export interface WebKitPage {
  /** Answers the value of an expression; what it promises, if it is a promise. Strings only. */
  evaluate(expression: string): Promise<string | undefined>;
  close(): Promise<void>;
}

/**
 * Opens a URL in MiniBrowser, on a screen of its own, with everything it keeps in the profile folder.
 *
 * Not through WebDriver, although that is there too: its sessions are ephemeral, which in WebKit means another
 * IndexedDB, one in memory; users have the one on SQLite. The page is reached as the Web Inspector reaches it.
 */
export async function openWebKit(executable: string, url: string, profile: string): Promise<WebKitPage> {
  const screen = await openScreen();
  const inspector = `127.0.0.1:${await freePort()}`;
  const browser = start(executable, ["--enable-developer-extras=true", url], {
    stdio: "ignore",
    env: {
      ...process.env,
      DISPLAY: screen.display,
      GDK_BACKEND: "x11",
      NO_AT_BRIDGE: "1",
      WEBKIT_INSPECTOR_HTTP_SERVER: inspector,
      XDG_CACHE_HOME: join(profile, "cache"),
      XDG_CONFIG_HOME: join(profile, "config"),
      XDG_DATA_HOME: join(profile, "data"),
    },
  });
  const close = async () => {
    await end(browser);
    await end(screen.server);
  };
  try {
    const page = await inspect(inspector, browser);
    return { evaluate: page.evaluate, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A process that does not outlive this one. */
function start(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const child = spawn(command, args, options);
  const kill = () => child.kill();
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  return child;
}

/** An X server without a monitor. It chooses a free number itself, and tells it when it is ready. */
async function openScreen(): Promise<{ readonly server: ChildProcess; readonly display: string }> {
  const server = start("Xvfb", ["-displayfd", "3", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const ready = once(createInterface(server.stdio[3] as Readable), "line");
  const ended = once(server, "exit").then(() => Promise.reject(new Error("Xvfb ended before it was ready.")));
  const [number] = await Promise.race([ready, ended]);
  ended.catch(() => {});
  return { server, display: `:${number}` };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill();
  await exited;
}

const START_TIME_LIMIT_MS = 30_000;

/** The path of the page's inspector socket, once the page is no longer `about:blank`. */
async function inspectorPath(server: string, browser: ChildProcess): Promise<string> {
  const giveUpAt = performance.now() + START_TIME_LIMIT_MS;
  while (performance.now() < giveUpAt && browser.exitCode === null) {
    const list = await fetch(`http://${server}/`).then(
      (response) => response.text(),
      () => "",
    );
    const target = /class="targeturl">http.*?(\/socket\/\d+\/\d+\/WebPage)/s.exec(list);
    if (target) return target[1] as string;
    await sleep(50);
  }
  throw new Error("WebKit's browser did not open the page.");
}

interface Answer {
  readonly id?: number;
  readonly error?: { readonly message: string };
  readonly result?: {
    readonly wasThrown?: boolean;
    readonly result: { readonly objectId?: string; readonly value?: string; readonly description?: string };
  };
}

/** Speaks the protocol of the Web Inspector, of which it needs two calls: `evaluate` and `awaitPromise`. */
async function inspect(server: string, browser: ChildProcess): Promise<Pick<WebKitPage, "evaluate">> {
  const socket = new WebSocket(`ws://${server}${await inspectorPath(server, browser)}`);
  const waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>();
  let last = 0;
  let target: string | undefined;
  let closed = false;

  const connected = new Promise<void>((resolve, reject) => {
    const lost = (): void => {
      closed = true;
      const error = new Error("The connection to WebKit's page was lost.");
      for (const call of waiting.values()) call.reject(error);
      waiting.clear();
      reject(error);
    };
    socket.onerror = lost;
    socket.onclose = lost;
    socket.onmessage = ({ data }) => {
      const { method, params } = JSON.parse(data as string);
      if (method === "Target.targetCreated" && params.targetInfo.type === "page" && !target) {
        target = params.targetInfo.targetId;
        resolve();
      }
      // The process of the page is gone, and with it whoever would have answered.
      if (method === "Target.targetDestroyed" && params.targetId === target) lost();
      if (method === "Target.dispatchMessageFromTarget" && params.targetId === target) {
        const answer: Answer = JSON.parse(params.message);
        const call = waiting.get(answer.id as number);
        waiting.delete(answer.id as number);
        if (answer.error) call?.reject(new Error(answer.error.message));
        else call?.resolve(answer);
      }
    };
  });
  await connected;

  /** Answers an object by its id and, where asked for, anything else by its value. */
  async function call(method: string, params: object) {
    if (closed) throw new Error("The connection to WebKit's page was lost.");
    const id = ++last;
    const message = JSON.stringify({ id, method, params });
    const answered = new Promise<Answer>((resolve, reject) => waiting.set(id, { resolve, reject }));
    socket.send(JSON.stringify({ id, method: "Target.sendMessageToTarget", params: { targetId: target, message } }));
    const { result } = await answered;
    if (!result || result.wasThrown) throw new Error(result?.result.description ?? `${method} failed.`);
    return result.result;
  }

  return {
    async evaluate(expression) {
      const { objectId, value } = await call("Runtime.evaluate", { expression });
      if (objectId === undefined) return value;
      return (await call("Runtime.awaitPromise", { promiseObjectId: objectId, returnByValue: true })).value;
    },
  };
}
