/**
 * Appends items to a list. `push(...items)` would fail for more than about 100,000 items, which may come from outside.
 */
export function append<T>(list: T[], items: Iterable<T>): void {
  for (const item of items) list.push(item);
}
