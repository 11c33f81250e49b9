import { type StartThread, work } from "./thread.ts";

self.onmessage = async ({ data }: MessageEvent<StartThread>) => {
  await work(data);
  self.postMessage("running");
};
