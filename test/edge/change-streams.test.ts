import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, it } from "vitest";
import type { BareQueue } from "./queues.ts";
import { open } from "./work-queue.ts";

afterEach(reset);

const HEARTBEAT_MS = 25_000;

it("the heartbeat of a stream ends with it, also where the heartbeat itself is too much for a slow reader", async () => {
  const object = env.BARE_QUEUE.getByName("slow-reader");
  await runInDurableObject(object, async (bare: BareQueue) => {
    const queue = "q".repeat(200);
    const change = (n: number) => bare.command({ type: n % 2 ? "resume" : "pause", queue });
    // As many changes as close the stream on a reader that does not read.
    const first = await bare.events();
    let most = 0;
    while ((await bare.timers()) > 0) await change(most++);
    await first.cancel();
    // One less, and heartbeats of three bytes do the rest.
    const second = await bare.events();
    for (let n = 0; n < most - 1; n++) await change(n);
    expect(await bare.timers()).toBe(1);
    for (let n = 0; n < 300 && (await bare.timers()) > 0; n++) await bare.advance(HEARTBEAT_MS);
    expect(await bare.timers()).toBe(0);
    await second.cancel();
  });
});

it("a subclass's automatic answer to WebSocket messages is kept, and asked for by who watches", async () => {
  const { object, queue } = open();
  await queue.counts();
  await runInDurableObject(object, (_, ctx) =>
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("are you there? ✓", "yes")),
  );
  const response = await object.fetch("https://object/quayside/changes", { headers: { upgrade: "websocket" } });
  const socket = response.webSocket as WebSocket;
  socket.accept();
  const answer = new Promise((resolve) => socket.addEventListener("message", ({ data }) => resolve(data)));
  socket.send(decodeURIComponent(response.headers.get("quayside-ping") ?? ""));
  expect(await answer).toBe("yes");
  const kept = await runInDurableObject(object, (_, ctx) => ctx.getWebSocketAutoResponse()?.request);
  expect(kept).toBe("are you there? ✓");
  socket.close();
});

it("an object without an automatic answer of its own gets one, and the header names it", async () => {
  const { object } = open();
  const response = await object.fetch("https://object/quayside/changes", { headers: { upgrade: "websocket" } });
  const socket = response.webSocket as WebSocket;
  socket.accept();
  const answer = new Promise((resolve) => socket.addEventListener("message", ({ data }) => resolve(data)));
  socket.send(decodeURIComponent(response.headers.get("quayside-ping") ?? ""));
  expect(await answer).toBe("quayside:pong");
  socket.close();
});

it("an object with an open stream sleeps; pings do not wake it, and it tells of changes afterwards", async () => {
  const { object, queue } = open();
  await queue.counts();
  const response = await object.fetch("https://object/quayside/changes", { headers: { upgrade: "websocket" } });
  const socket = response.webSocket as WebSocket;
  socket.accept();
  const heard: unknown[] = [];
  const next = () =>
    new Promise<void>((resolve) =>
      socket.addEventListener("message", ({ data }) => resolve(void heard.push(data)), { once: true }),
    );
  await evictDurableObject(object);
  const pong = next();
  socket.send("quayside:ping");
  await pong;
  // It is not in memory: there is nothing to be put out of it.
  await expect(evictDurableObject(object)).rejects.toThrow();
  const change = next();
  await queue.pause();
  await change;
  expect(heard).toEqual(["quayside:pong", expect.stringContaining('"kind":"settings"')]);
  socket.close();
});
