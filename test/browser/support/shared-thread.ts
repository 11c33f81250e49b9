import { type StartThread, work } from "./thread.ts";

self.addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (!port) return;
  port.onmessage = async ({ data }: MessageEvent<StartThread>) => {
    await work(data);
    port.postMessage("running");
  };
});
