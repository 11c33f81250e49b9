import { originals } from "../files/originals.ts";
import { notify } from "../state/notices.ts";
import { messageOf } from "../ui/format.ts";
import { images } from "./queues.ts";

/** The box that thumbnails fit into, in pixels. */
export const BOX = { width: 320, height: 320 } as const;

export const ACCEPTED = ["image/png", "image/jpeg"] as const;

/** A file is left lying only by a crash between its saving and the adding of its job. */
const ORPHAN_AFTER_MS = 60 * 60_000;

export const resizeId = (fileId: string) => `resize-${fileId}`;

/** Keeps each picture on this device, then adds its job: a job never names a file that is not there. */
export async function takeIn(files: readonly File[]): Promise<void> {
  const pictures = files.filter(({ type }) => (ACCEPTED as readonly string[]).includes(type));
  const others = files.filter((file) => !pictures.includes(file));
  if (others.length > 0) notify(`Only PNG and JPEG: left out ${others.map(({ name }) => name).join(", ")}.`);
  for (const file of pictures) {
    const fileId = crypto.randomUUID();
    try {
      await originals.save(fileId, file);
      await images.addJob("image-resize", { fileId, name: file.name, ...BOX }, { id: resizeId(fileId) });
    } catch (error) {
      await originals.remove(fileId).catch(() => {});
      notify(`${file.name} could not be kept: ${messageOf(error)}`);
    }
  }
}

/** Removes files that no job is about. */
export async function sweepOriginals(now = Date.now()): Promise<void> {
  for (const { id, savedAt } of await originals.list()) {
    if (now - savedAt > ORPHAN_AFTER_MS && !(await images.get(resizeId(id)))) await originals.remove(id);
  }
}
