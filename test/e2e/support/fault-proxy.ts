import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What becomes of a call of the API: `refuse` it before the server hears of it, `lose` the answer, or `pass`. */
export type Fate = "refuse" | "lose" | "pass";

/** Answers in place of the server, as a portal, a firewall or a gateway does. */
export type Reply = (answer: ServerResponse) => void;

export interface FaultProxy {
  readonly url: string;
  /** Asked when a call of the API has come in; `refuse` ends it there, and so does a reply. */
  before: (call: Call) => Fate | Reply;
  /** Asked when the server has answered, before the answer goes on; may take its time. */
  after: (call: Call) => Promise<Fate>;
  close(): Promise<void>;
}

export interface Call {
  readonly method: string;
  readonly path: string;
}

/** One origin for a page and its API, with a network between them and the server that fails as it is told. */
export async function startFaultProxy(targets: { readonly page: string; readonly api: string }): Promise<FaultProxy> {
  const proxy = {
    before: (): Fate | Reply => "pass",
    after: async (): Promise<Fate> => "pass",
  } as unknown as { -readonly [Name in keyof FaultProxy]: FaultProxy[Name] };
  const server = createServer((incoming, answer) => void handle(incoming, answer));

  async function handle(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const call: Call = { method: incoming.method ?? "", path: incoming.url ?? "/" };
    const isApi = call.path.startsWith("/spaces/");
    const cut = () => void incoming.socket.destroy();
    const body = Buffer.concat(await incoming.toArray());
    const fate = isApi ? proxy.before(call) : "pass";
    if (typeof fate === "function") return fate(answer);
    if (fate !== "pass") return cut();
    const target = new URL(call.path, isApi ? targets.api : targets.page);
    const headers = { ...incoming.headers, host: target.host };
    const onward = request(target, { method: call.method, headers }, async (response) => {
      // A stream of changes has no end to wait for.
      const stream = response.headers["content-type"]?.startsWith("text/event-stream");
      if (isApi && !stream && (await proxy.after(call)) !== "pass") return cut();
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
      answer.on("close", () => onward.destroy());
    });
    onward.on("error", cut);
    onward.end(body);
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(proxy, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  });
}
