/**
 * Calls `hide` when the page goes away (closed or put into the back/forward cache), and `show` when a page from that
 * cache is shown again; not when a page is first loaded. Returns a function that removes the listeners. Does nothing in
 * workers and on servers.
 */
export function onPageHidden(hide: () => void, show: () => void): () => void {
  if (typeof document === "undefined") return () => {};
  let away = false;
  const hidden = () => {
    away = true;
    hide();
  };
  const shown = () => {
    if (away) show();
    away = false;
  };
  addEventListener("pagehide", hidden);
  addEventListener("pageshow", shown);
  return () => {
    removeEventListener("pagehide", hidden);
    removeEventListener("pageshow", shown);
  };
}

/**
 * Returns whether this code runs on a server that renders pages, where an open channel or lock would keep Node from
 * exiting.
 */
export const isServer = (): boolean => typeof indexedDB === "undefined";

/**
 * Opens a broadcast channel. Returns undefined on a server, and if the browser has no channels or refuses them, as
 * Firefox does when cookies are blocked.
 */
export function openChannel(name: string): BroadcastChannel | undefined {
  if (typeof BroadcastChannel === "undefined" || isServer()) return undefined;
  try {
    return new BroadcastChannel(name);
  } catch {
    return undefined;
  }
}
