import { type Clock, systemClock } from "@quayside/core";
import type { Change } from "@quayside/core/engine";
import { parseChange } from "@quayside/core/engine";
import { changeStream, spellChange } from "../streams/change-stream.ts";

/** Tag of Quayside's WebSockets, which distinguishes them from others of the object's class. */
const TAG = "quayside";
const PATH = "/quayside/changes";
const PING = "quayside:ping";
const PONG = "quayside:pong";
/** Response header with the text of the ping. Set if the object's class has an automatic response of its own. */
const PING_HEADER = "quayside-ping";
/** Interval between a Worker's pings of its socket, in ms. The runtime answers them without waking the object. */
const PING_MS = 30_000;

/** The queue whose changes a socket reports. Stored with the socket while the object hibernates. */
interface Attachment {
  readonly queue?: string | undefined;
}

/**
 * WebSockets on which an object reports changes to Workers. They survive hibernation, so a listener does not keep the
 * object awake; changes occur only while the object is awake for other reasons.
 */
export class ChangeSockets {
  readonly #ctx: DurableObjectState;

  constructor(ctx: DurableObjectState, watch: (listener: (change: Change) => void) => () => void) {
    this.#ctx = ctx;
    watch((change) => this.#tell(change));
  }

  /** Accepts a request for a socket of changes. Returns undefined for any other request. */
  accept(request: Request): Response | undefined {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname !== PATH || request.headers.get("upgrade") !== "websocket") return undefined;
    const { 0: client, 1: server } = new WebSocketPair();
    // An object has one automatic WebSocket response. If the user's class has set it, its text is used as the ping.
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
        // The socket is closing. The code that reported the change must not fail.
      }
    }
  }
}

/** An object's stub, with its method `fetch`. */
export interface Fetcher {
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/**
 * Opens a stream of an object's changes as server-sent events, over a WebSocket that does not keep the object awake.
 * Returns undefined if the object's class does not support it.
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
      // The socket is closed already.
    }
  };
}
