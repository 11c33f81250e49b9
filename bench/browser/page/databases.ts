const opened = new Set<IDBDatabase>();

// Peers keep their connections to themselves, and some never close them: nothing could be deleted.
const { open } = IDBFactory.prototype;
IDBFactory.prototype.open = function (...args) {
  const request = open.apply(this, args);
  request.addEventListener("success", () => opened.add(request.result));
  return request;
};

/** Closes every connection of the page and deletes all that was stored: the next run begins with nothing. */
export async function dropAll(): Promise<void> {
  for (const database of opened) database.close();
  opened.clear();
  for (const { name } of await indexedDB.databases()) if (name !== undefined) await drop(name);
}

function drop(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name);
    request.onsuccess = () => resolve();
    request.onerror = () => reject(request.error);
  });
}
