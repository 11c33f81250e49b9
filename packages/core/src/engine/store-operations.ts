import type { Answer, Collection, Key, Operation, Program, Records, Step } from "./store.ts";

/** Reads records by key: `const [lease] = yield* get("leases", [[worker]]);` */

export function* get<C extends Collection>(
  collection: C,
  keys: readonly Records[C]["key"][],
): Program<readonly (Records[C] | undefined)[]> {
  if (keys.length === 0) return [];
  return (yield { op: "get", collection, keys }) as readonly (Records[C] | undefined)[];
}

/** A range of keys, from `from` (inclusive) to `to` (exclusive). */
export interface Range {
  readonly from: Key;
  readonly to: Key;
}

/** Reads at most `limit` records of a range, in the order of their keys. */
export function* scan<C extends Collection>(
  collection: C,
  range: Range,
  limit: number,
  direction?: "reverse",
): Program<readonly Records[C][]> {
  if (limit <= 0) return [];
  return (yield {
    op: "scan",
    collection,
    ...range,
    limit,
    ...(direction && { reverse: true }),
  }) as readonly Records[C][];
}

/** Reads the keys of at most `limit` records of a range, in order. */
export function* scanKeys<C extends Collection>(
  collection: C,
  range: Range,
  limit: number,
  direction?: "reverse",
): Program<readonly Records[C]["key"][]> {
  if (limit <= 0) return [];
  return (yield {
    op: "scan",
    collection,
    ...range,
    limit,
    keysOnly: true,
    ...(direction && { reverse: true }),
  }) as readonly Records[C]["key"][];
}

/** Number of keys per read in `countKeys`. */
const COUNT_STEP = 10_000;

/** Counts the keys in a range by reading each. Use it for short lanes, or once, before a stored count exists. */
export function* countKeys(range: Range): Program<number> {
  let count = 0;
  for (let from = range.from; ; ) {
    const keys = yield* scanKeys("jobs", { from, to: range.to }, COUNT_STEP);
    count += keys.length;
    const last = keys[COUNT_STEP - 1];
    if (!last) return count;
    from = after(last);
  }
}

/** Inserts records, or overwrites those with the same keys. */
export function* put<C extends Collection>(
  collection: C,
  records: readonly Records[C][],
  deferrable = false,
): Program<void> {
  // TypeScript cannot match the generic `C` with the union's members; the signature has already checked the pair.
  if (records.length > 0) yield { op: "put", collection, records, deferrable } as never;
}

/** Deletes records by their keys. */
export function* remove<C extends Collection>(collection: C, keys: readonly Records[C]["key"][]): Program<void> {
  if (keys.length > 0) yield { op: "delete", collection, keys };
}

/** Deletes all records in a range of keys. */
export function* removeRange(collection: Collection, range: Range): Program<void> {
  yield { op: "deleteRange", collection, ...range };
}

/** Returns the range of all keys that begin with `prefix`. */
export const startingWith = (...prefix: Key): Range => ({ from: prefix, to: after(prefix) });

/**
 * Returns the first key after all keys that begin with `prefix`. A text part ends with U+0001, which no stored part
 * contains, because `escapePart` removes control characters.
 */
export function after(prefix: Key): Key {
  const last = prefix[prefix.length - 1];
  return [...prefix.slice(0, -1), typeof last === "number" ? last + 1 : `${last}\u0001`];
}

/**
 * Runs independent programs side by side: the operations of their first steps go to the store in one step, then those
 * of their second steps, and so on. Saves round trips for reads.
 */
export function* together(programs: readonly Program<unknown>[]): Program<void> {
  let running = programs.map((program) => ({ program, step: program.next() }));
  for (;;) {
    running = running.filter(({ step }) => !step.done);
    if (running.length === 0) return;
    const asked: readonly Step[] = running.map(({ step }) => step.value as Step);
    const answers = (yield asked.flat() as Exclude<Step, Operation>) as readonly Answer[];
    let from = 0;
    running = running.map(({ program }, index) => {
      const mine = asked[index] as Step;
      if (!isOperation(mine)) {
        const answer = answers.slice(from, from + mine.length);
        from += mine.length;
        return { program, step: program.next(answer) };
      }
      return { program, step: program.next(answers[from++]) };
    });
  }
}

/** Returns a program that does nothing and returns `value`. */
// biome-ignore lint/correctness/useYield: that is its purpose
export function* done<T>(value: T): Program<T> {
  return value;
}

/** Returns whether a step is a single operation. */
export const isOperation = (step: Step): step is Operation => !Array.isArray(step);

/** Compares two keys part by part. A key that is a prefix of another is less. */
export function compareKeys(a: Key, b: Key): number {
  const shared = Math.min(a.length, b.length);
  for (let index = 0; index < shared; index++) {
    const left = a[index] as string | number;
    const right = b[index] as string | number;
    if (left !== right) return left < right ? -1 : 1;
  }
  return a.length - b.length;
}
