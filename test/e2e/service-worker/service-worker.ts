import { broadcastEvents, handleBackgroundSync, indexedDbDriver } from "@quayside/browser";
import { Queue } from "@quayside/core";
import { APP, type Jobs } from "./jobs.ts";

const queue = new Queue<Jobs>("uploads", indexedDbDriver({ name: APP }));

queue.on("job:upload", async ({ file }, ctx) => {
  ctx.progress(0.5);
  const response = await fetch(`/uploads/${file}`, { method: "POST", signal: ctx.signal });
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  return { file };
});

handleBackgroundSync(queue, { patience: "1s" });
broadcastEvents(queue, APP);
