import { markDelivered, thumbnailOf } from "../files/thumbnails.ts";
import { answering, online } from "../state/network.ts";
import { gallery, images } from "./queues.ts";

/** How long a delivery rests while there is no network. It is woken before, when the network comes back. */
const REST = "1m";

/**
 * Hands a thumbnail over to the edge. Adding a job with an id that is there already changes nothing, so a delivery
 * whose answer was lost is simply made again.
 */
export function handleDeliver(): () => void {
  const stop = [
    images.on("job:deliver", async ({ source }, ctx) => {
      // Known to be in vain: given back without spending an attempt.
      if (!online.value) ctx.release(REST);
      const thumbnail = await thumbnailOf(source);
      if (!thumbnail) return ctx.fail("The thumbnail is no longer on this device");
      const { name, width, height, dataUrl } = thumbnail;
      const id = await gallery
        .addJob("store-thumbnail", { source, name, width, height, dataUrl }, { id: `store-${source}` })
        // The network went away meanwhile: that is no failure of this job.
        .catch((error: unknown) => (online.value ? Promise.reject(error) : ctx.release(REST)));
      await markDelivered(source);
      return { edgeJob: id };
    }),
    online.subscribe((isOnline) => void (isOnline && wakeDeliveries())),
    answering.subscribe((isAnswering) => void (isAnswering && wakeDeliveries())),
    // One that was being given back just when the network came.
    images.on("released", ({ job }) => void (job.name === "deliver" && online.value && wake(job.id))),
  ];
  if (online.value) void wakeDeliveries();
  return () => {
    for (const undo of stop) undo();
  };
}

/** Makes all resting deliveries due now. */
async function wakeDeliveries(): Promise<void> {
  let cursor: string | undefined;
  do {
    const page = await images.list({ state: "delayed", ...(cursor !== undefined && { cursor }) });
    await Promise.all(page.jobs.filter(({ name }) => name === "deliver").map(({ id }) => wake(id)));
    ({ cursor } = page);
  } while (cursor !== undefined);
}

/** Another tab may have been quicker. */
const wake = (id: string) => images.promote(id).catch(() => {});
