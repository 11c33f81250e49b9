import { Observable } from "../state/observable.ts";
import { filesDatabase, type Thumbnail } from "./database.ts";

export type { Thumbnail } from "./database.ts";

/** The thumbnails on this device, the newest first; undefined until they have been read. */
export const shownThumbnails = new Observable<readonly Thumbnail[] | undefined>(undefined);

export async function thumbnailOf(source: string): Promise<Thumbnail | undefined> {
  return (await filesDatabase()).get("thumbnails", source);
}

/** Keeps it, unless the job that made it has done so before. */
export async function keepThumbnail(thumbnail: Thumbnail): Promise<void> {
  const tx = (await filesDatabase()).transaction("thumbnails", "readwrite");
  if (!(await tx.store.getKey(thumbnail.source))) await tx.store.put(thumbnail);
  await tx.done;
  await readThumbnails();
}

export async function markDelivered(source: string): Promise<void> {
  const tx = (await filesDatabase()).transaction("thumbnails", "readwrite");
  const thumbnail = await tx.store.get(source);
  if (thumbnail && thumbnail.deliveredAt === undefined) await tx.store.put({ ...thumbnail, deliveredAt: Date.now() });
  await tx.done;
  await readThumbnails();
}

export async function removeThumbnails(sources: readonly string[]): Promise<void> {
  const tx = (await filesDatabase()).transaction("thumbnails", "readwrite");
  await Promise.all([...sources.map((source) => tx.store.delete(source)), tx.done]);
  await readThumbnails();
}

let reading: Promise<void> | undefined;
let next: Promise<void> | undefined;

/** Reads them anew: also what other tabs have made. Those who ask during a read share the one that follows it. */
export function readThumbnails(): Promise<void> {
  if (!reading) {
    reading = read().finally(() => (reading = undefined));
    return reading;
  }
  next ??= reading
    .catch(() => {})
    .then(() => {
      next = undefined;
      return readThumbnails();
    });
  return next;
}

async function read(): Promise<void> {
  const all = await (await filesDatabase()).getAll("thumbnails");
  shownThumbnails.set(all.sort((a, b) => b.madeAt - a.madeAt || (a.source < b.source ? -1 : 1)));
}
