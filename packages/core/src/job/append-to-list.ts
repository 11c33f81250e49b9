/**
 * Appends items to a list, however many. `push(...items)` would fail for more than about 100,000 items, and callers
 * outside decide about their number.
 */
export function append<T>(list: T[], items: Iterable<T>): void {
  for (const item of items) list.push(item);
}
