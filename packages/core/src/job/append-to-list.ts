/** Puts items at the end of a list. Not as arguments of `push`: an engine takes some 100,000, and the list may come from outside. */
export function append<T>(list: T[], items: Iterable<T>): void {
  for (const item of items) list.push(item);
}
