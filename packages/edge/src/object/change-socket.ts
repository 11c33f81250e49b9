import { type Clock, systemClock } from "@quayside/core";
import type { Change } from "@quayside/core/engine";
import { parseChange } from "@quayside/core/engine";
import { changeStream, spellChange } from "../streams/change-stream.ts";

/** Marks the sockets of queues among others that the object's class may hold. */
const TAG = "quayside";
const PATH = "/quayside/changes";
const PING = "quayside:ping";
const PONG = "quayside:pong";
/** Header of the answer: the text to ask with, where the object's class has an automatic answer of its own. */
const PING_HEADER = "quayside-ping";
/** How often a Worker asks whether its socket still leads anywhere; the runtime answers without waking the object. */
const PING_MS = 30_000;

/** The queue that a socket reports, stored with it while the object hibernates. */
interface Attachment {
  readonly queue?: string;
}

/**
 * The sockets on which an object tells of changes. They outlive the object's memory (WebSocket hibernation): who only
 * listens does not keep it awake, and a change happens while it is awake for something else.
 */
export class ChangeSockets {
  readonly #ctx: DurableObjectState;

  constructor(ctx: DurableObjectState, watch: (listener: (change: Change) => void) => () => void) {
    this.#ctx = ctx;
    watch((change) => this.#tell(change));
  }

  /** The answer to a request for such a socket; undefined for any other request. */
  accept(request: Request): Response | undefined {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname !== PATH || request.headers.get("upgrade") !== "websocket") return undefined;
    const { 0: client, 1: server } = new WebSocketPair();
    // An object has one automatic answer. That of a class that extends Quayside's is kept, and asked for.
    const theirs = this.#ctx.getWebSocketAutoResponse()?.request;
    if (theirs === undefined) this.#ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    this.#ctx.acceptWebSocket(server, [TAG]);
    const queue = searchParams.get("queue");
    server.serializeAttachment((queue === null ? {} : { queue }) satisfies Attachment);
    const headers = { [PING_HEADER]: encodeURIComponent(theirs ?? PING) };
    return new Response(null, { status: 101, webSocket: client, headers });
  }

  #tell(change: Change): void {
    for (const socket of this.#ctx.getWebSockets(TAG)) {
      const { queue } = socket.deserializeAttachment() as Attachment;
      if (queue !== undefined && queue !== change.queue) continue;
      try {
        socket.send(spellChange(change));
      } catch {
        // The socket is closing. The code that reported the change must not fail because of it.
      }
    }
  }
}

/** The method of an object's stub that is called. */
export interface Fetcher {
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/**
 * Changes of an object as server-sent events, brought by a socket and so without keeping the object awake. Undefined
 * when its class does not offer it.
 */
export async function socketStream(
  object: Fetcher,
  queue?: string,
  clock: Clock = systemClock,
): Promise<ReadableStream<Uint8Array> | undefined> {
  const query = queue === undefined ? "" : `?queue=${encodeURIComponent(queue)}`;
  const response = await object.fetch(`https://object${PATH}${query}`, { headers: { upgrade: "websocket" } });
  const socket = response.webSocket;
  if (!socket) {
    await response.body?.cancel();
    return undefined;
  }
  socket.accept();
  const ask = decodeURIComponent(response.headers.get(PING_HEADER) ?? PING);
  return changeStream((listener, end) => follow(socket, { clock, ask }, listener, end), clock);
}

function follow(
  socket: WebSocket,
  { clock, ask }: { readonly clock: Clock; readonly ask: string },
  listener: (change: Change) => void,
  end: () => void,
): () => void {
  let answered = true;
  let cancelPing: () => void = () => {};
  const ping = () => {
    if (!answered) return end();
    answered = false;
    socket.send(ask);
    cancelPing = clock.after(PING_MS, ping);
  };
  cancelPing = clock.after(PING_MS, ping);
  socket.addEventListener("message", ({ data }) => {
    answered = true;
    const change = typeof data === "string" ? parseChange(data) : undefined;
    if (change) listener(change);
  });
  socket.addEventListener("close", end);
  socket.addEventListener("error", end);
  return () => {
    cancelPing();
    try {
      socket.close(1000);
    } catch {
      // It is closed already.
    }
  };
}
