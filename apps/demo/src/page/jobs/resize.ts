import { THUMBNAIL_LIMIT } from "../../jobs.ts";
import { originals } from "../files/originals.ts";
import { keepThumbnail, thumbnailOf } from "../files/thumbnails.ts";
import type { Step } from "../resize/protocol.ts";
import { NotAPictureError, resizer } from "../resize/resizer.ts";
import { settings } from "../state/settings.ts";
import { images } from "./queues.ts";

const PERCENT: Readonly<Record<Step, number>> = { decoding: 15, resizing: 45, encoding: 75 };
const SLOW_STEP_MS = 600;

/**
 * Makes a thumbnail. It may run twice (the tab is closed between its last line and the note that it is done), so each
 * step looks whether it was done before: the thumbnail goes by the job's id, and so does the job that delivers it.
 */
export function handleResize(): () => void {
  return images.on("job:image-resize", async ({ fileId, name, width, height }, ctx) => {
    const { failFirst, slow } = settings.value;
    if (failFirst && ctx.attempt === 1) throw new Error("Told to fail: the switch “Fail first attempts” is on");

    if (!(await thumbnailOf(ctx.id))) {
      const original = await originals.read(fileId);
      if (!original) return ctx.fail("The file is no longer on this device");
      const picture = await resizer
        .resize(original, {
          width,
          height,
          limit: THUMBNAIL_LIMIT,
          pauseMs: slow ? SLOW_STEP_MS : 0,
          signal: ctx.signal,
          onStep: (step) => ctx.progress({ percent: PERCENT[step], step }),
        })
        // Another attempt would meet the same bytes.
        .catch((error: unknown) => (error instanceof NotAPictureError ? ctx.fail(error) : Promise.reject(error)));
      await keepThumbnail({ source: ctx.id, name, ...picture, madeAt: Date.now() });
    }

    await images.addJob("deliver", { source: ctx.id, name }, { id: `deliver-${fileId}` });
    await originals.remove(fileId);
    return { thumbnail: ctx.id };
  });
}
