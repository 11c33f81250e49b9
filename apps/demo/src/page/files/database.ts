import { type DBSchema, type IDBPDatabase, openDB } from "idb";

/** A thumbnail as this device keeps it. */
export interface Thumbnail {
  /** Id of the job that made it. */
  readonly source: string;
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly originalWidth: number;
  readonly originalHeight: number;
  readonly dataUrl: string;
  readonly madeAt: number;
  /** When the edge had it. */
  readonly deliveredAt?: number;
}

interface Files extends DBSchema {
  thumbnails: { key: string; value: Thumbnail };
  /** Only where there is no file system of the site's own. */
  originals: { key: string; value: { readonly blob: Blob; readonly savedAt: number } };
}

let opened: Promise<IDBPDatabase<Files>> | undefined;

/** The demo's own database, beside that of the queue: payloads name files, they do not carry them. */
export function filesDatabase(): Promise<IDBPDatabase<Files>> {
  opened ??= openDB<Files>("quayside-demo-files", 1, {
    upgrade(database) {
      database.createObjectStore("thumbnails", { keyPath: "source" });
      database.createObjectStore("originals");
    },
    terminated() {
      opened = undefined;
    },
  }).catch((error: unknown) => {
    opened = undefined;
    throw error;
  });
  return opened;
}
