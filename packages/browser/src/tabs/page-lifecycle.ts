/**
 * Calls `hide` when the page goes away, and `show` when a page that went away is shown again; not when it is loaded. Returns
 * the function that stops it. Workers have no such events, and neither has a server.
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

/** A server that renders pages has no storage to share: an open channel or a lock there would keep Node from ending. */
export const isServer = (): boolean => typeof indexedDB === "undefined";

/** Undefined on a server, and where the browser has no channels or denies them: Firefox does when cookies are blocked. */
export function openChannel(name: string): BroadcastChannel | undefined {
  if (typeof BroadcastChannel === "undefined" || isServer()) return undefined;
  try {
    return new BroadcastChannel(name);
  } catch {
    return undefined;
  }
}
