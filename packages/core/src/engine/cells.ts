import { escapePart } from "../job/job-keys.ts";
import type { Program } from "./store.ts";
import { after, get, put, remove, scan, startingWith } from "./store-operations.ts";

/** Number of values that one call of `sweepCells` checks for expiry. */
const SWEEP_STEP = 8;

/** Names a kind of value that plugins store, and its scope such as a queue. Made by `kind`. */
export interface CellKind<V> {
  readonly text: string;
  /** Carries the type of the value for the compiler. Never set at run time. */
  readonly holds?: V;
}

/** Returns the key of a kind of value that a plugin stores, within a scope such as a queue. */
export const kind = <V>(name: string, ...scope: readonly string[]): CellKind<V> => ({
  text: [name, ...scope.map(escapePart)].join("/"),
});

export function* getCells<V>(of: CellKind<V>, names: readonly string[]): Program<readonly (V | undefined)[]> {
  const cells = yield* get(
    "cells",
    names.map((name) => [of.text, name] as const),
  );
  return cells.map((cell) => cell?.value as V | undefined);
}

/** Reads one value of a kind. Undefined if it is not stored. */
export function* getCell<V>(of: CellKind<V>, name: string): Program<V | undefined> {
  const [value] = yield* getCells(of, [name]);
  return value;
}

/** Writes values of a kind by their names. */
export function* putCells<V>(of: CellKind<V>, values: Iterable<readonly [name: string, value: V]>): Program<void> {
  yield* put(
    "cells",
    [...values].map(([name, value]) => ({ key: [of.text, name] as const, value })),
  );
}

/** Deletes values of a kind by their names. */
export function* removeCells<V>(of: CellKind<V>, names: readonly string[]): Program<void> {
  yield* remove(
    "cells",
    names.map((name) => [of.text, name] as const),
  );
}

/** Reads all values of a kind, at most `limit`, in the order of their names. */
export function* listCells<V>(
  of: CellKind<V>,
  limit: number,
): Program<readonly { readonly name: string; readonly value: V }[]> {
  const cells = yield* scan("cells", startingWith(of.text), limit);
  return cells.map(({ key, value }) => ({ name: key[1], value: value as V }));
}

/**
 * Checks the next few values after `name`, and deletes the expired ones; at the end, continues with the first. `name`
 * is random, so repeated calls reach all values.
 */
export function* sweepCells(of: CellKind<{ readonly until: number }>, name: string, now: number): Program<void> {
  const all = startingWith(of.text);
  let next = yield* scan("cells", { from: after([...all.from, name]), to: all.to }, SWEEP_STEP);
  if (next.length === 0) next = yield* scan("cells", all, SWEEP_STEP);
  yield* remove(
    "cells",
    next.filter(({ value }) => (value as { readonly until: number }).until <= now).map(({ key }) => key),
  );
}
