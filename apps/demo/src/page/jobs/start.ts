import { readThumbnails } from "../files/thumbnails.ts";
import { notify } from "../state/notices.ts";
import { messageOf } from "../ui/format.ts";
import { handleDeliver } from "./deliver.ts";
import { sweepOriginals } from "./intake.ts";
import { images } from "./queues.ts";
import { handleResize } from "./resize.ts";

/** Pictures at once: each takes tens of megabytes while it is decoded. */
const CONCURRENCY = 2;

/** Starts working the queue of this device in this tab. Other tabs do the same: each job is run by one of them. */
export async function startWorking(): Promise<void> {
  images.on("error", ({ error }) => notify(messageOf(error)));
  // Thumbnails are made and delivered in other tabs too.
  images.watch(({ kind }) => void (kind === "ended" && readThumbnails().catch(report)));
  handleResize();
  handleDeliver();
  try {
    await readThumbnails();
    await images.run({ concurrency: CONCURRENCY, name: "tab" });
    await sweepOriginals();
  } catch (error) {
    report(error);
  }
}

const report = (error: unknown) => notify(messageOf(error));
