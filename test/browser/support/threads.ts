import type { StartThread } from "./thread.ts";

/** A dedicated worker that works the queue of that name; resolves when it does. */
export async function startThread(start: StartThread): Promise<Worker> {
  const thread = new Worker(new URL("./dedicated-thread.ts", import.meta.url), { type: "module" });
  await new Promise((running) => {
    thread.onmessage = running;
    thread.postMessage(start);
  });
  return thread;
}

/** The shared worker that works the queue of that name: the same one for all who ask. */
export async function joinSharedThread(start: StartThread): Promise<void> {
  const { port } = new SharedWorker(new URL("./shared-thread.ts", import.meta.url), { type: "module" });
  await new Promise((running) => {
    port.onmessage = running;
    port.postMessage(start);
  });
  port.close();
}
