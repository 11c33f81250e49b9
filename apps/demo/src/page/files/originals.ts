import { filesDatabase } from "./database.ts";

/** Where the picked files lie until their thumbnails are made. */
interface Originals {
  save(id: string, file: Blob): Promise<void>;
  read(id: string): Promise<Blob | undefined>;
  remove(id: string): Promise<void>;
  list(): Promise<readonly { readonly id: string; readonly savedAt: number }[]>;
}

const FOLDER = "originals";
const folder = async () => (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });

function isMissing(error: unknown): undefined {
  if (error instanceof DOMException && error.name === "NotFoundError") return undefined;
  throw error;
}

/** The site's own file system (OPFS): files go to disk as they are, and are read back without a copy in memory. */
const inFileSystem: Originals = {
  async save(id, file) {
    const handle = await (await folder()).getFileHandle(id, { create: true });
    const writable = await handle.createWritable();
    await writable.write(file);
    // Only now does the file have its content: a crash before leaves it empty, and no job names it yet.
    await writable.close();
  },
  async read(id) {
    const handle = await (await folder()).getFileHandle(id).catch(isMissing);
    return handle?.getFile();
  },
  async remove(id) {
    await (await folder()).removeEntry(id).catch(isMissing);
  },
  async list() {
    const files: { id: string; savedAt: number }[] = [];
    for await (const handle of (await folder()).values()) {
      if (handle.kind !== "file") continue;
      files.push({ id: handle.name, savedAt: (await (handle as FileSystemFileHandle).getFile()).lastModified });
    }
    return files;
  },
};

/** The same in IndexedDB, for browsers that cannot write to that file system from a page. */
const inDatabase: Originals = {
  async save(id, blob) {
    const tx = (await filesDatabase()).transaction("originals", "readwrite");
    await Promise.all([tx.store.put({ blob, savedAt: Date.now() }, id), tx.done]);
  },
  async read(id) {
    return (await (await filesDatabase()).get("originals", id))?.blob;
  },
  async remove(id) {
    await (await filesDatabase()).delete("originals", id);
  },
  async list() {
    const { store } = (await filesDatabase()).transaction("originals");
    const [keys, values] = await Promise.all([store.getAllKeys(), store.getAll()]);
    return keys.map((id, index) => ({ id, savedAt: values[index]?.savedAt ?? 0 }));
  },
};

async function choose(): Promise<Originals> {
  try {
    // A private window may refuse the folder, Safari before 26 has no `createWritable`.
    if (typeof FileSystemFileHandle.prototype.createWritable !== "function") return inDatabase;
    await folder();
    return inFileSystem;
  } catch {
    return inDatabase;
  }
}

let chosen: Promise<Originals> | undefined;
const place = () => (chosen ??= choose());

export const originals: Originals = {
  save: async (id, file) => (await place()).save(id, file),
  read: async (id) => (await place()).read(id),
  remove: async (id) => (await place()).remove(id),
  list: async () => (await place()).list(),
};
