import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export type Answer = (response: ServerResponse, received: Received, count: number) => void;

/** A receiver of webhooks: an HTTP server that notes what it gets and answers as it is told, path by path. */
export class Receiver {
  readonly received: Received[] = [];
  readonly #server: Server;
  readonly #answers = new Map<string, Answer>();
  url = "";

  constructor() {
    this.#server = createServer((request, response) => void this.#take(request, response));
  }

  async listen(): Promise<void> {
    await once(this.#server.listen(0, "127.0.0.1"), "listening");
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("No port");
    this.url = `http://127.0.0.1:${address.port}`;
  }

  /** Answers this path so, with `count` from 1; its URL. */
  on(path: string, answer: Answer): string {
    this.#answers.set(path, answer);
    return `${this.url}${path}`;
  }

  at(path: string): readonly Received[] {
    return this.received.filter((one) => one.path === path);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk as string;
    const received = { path: request.url ?? "", headers: request.headers, body };
    this.received.push(received);
    const answer = this.#answers.get(received.path);
    if (answer) answer(response, received, this.at(received.path).length);
    else response.writeHead(404).end();
  }
}
