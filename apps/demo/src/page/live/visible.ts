import { online } from "../state/network.ts";
import { Observable, useValue } from "../state/observable.ts";

const visible = new Observable(!document.hidden);
document.addEventListener("visibilitychange", () => visible.set(!document.hidden));

/**
 * Whether to listen to the edge. A page that nobody sees does not: each queue is one open connection, and over HTTP/1.1
 * a browser has six to a site, for all of its tabs together.
 */
export function useReachable(): boolean {
  const isOnline = useValue(online);
  const isVisible = useValue(visible);
  return isOnline && isVisible;
}
