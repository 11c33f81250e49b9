/**
 * Returns `after` with every part that equals the part of `before` at the same place replaced by the latter, so that
 * unchanged parts are identical objects. Compares arrays and plain objects.
 */
export function shareStructure<T>(before: unknown, after: T): T {
  if (Array.isArray(before) && Array.isArray(after)) {
    const made = after.map((part, index) => shareStructure(before[index], part));
    const same = made.length === before.length && made.every((part, index) => part === before[index]);
    return (same ? before : made) as T;
  }
  if (!isPlain(before) || !isPlain(after)) return after;
  const made = Object.entries(after).map(([key, part]) => [key, shareStructure(own(before, key), part)] as const);
  const same =
    made.length === Object.keys(before).length &&
    made.every(([key, part]) => Object.hasOwn(before, key) && before[key] === part);
  return (same ? before : Object.fromEntries(made)) as T;
}

const own = (value: Record<string, unknown>, key: string): unknown =>
  Object.hasOwn(value, key) ? value[key] : undefined;

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
