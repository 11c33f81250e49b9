import { escapePart } from "../job/place.ts";
import { after, get, put, remove, scan, startingWith } from "./operations.ts";
import type { Cells, Program } from "./store.ts";

/** Lapsed cells looked for beside each new one. */
const SWEEP_STEP = 8;

/** Names a kind of cell, within a queue (and parent) where it is listed by them. */
export interface CellKind<K extends keyof Cells> {
  readonly text: string;
  /** Carries the type of the value; never there. */
  readonly holds?: Cells[K];
}

export const kind = <K extends keyof Cells>(name: K, ...scope: readonly string[]): CellKind<K> => ({
  text: [name, ...scope.map(escapePart)].join("/"),
});

export function* getCells<K extends keyof Cells>(
  of: CellKind<K>,
  names: readonly string[],
): Program<readonly (Cells[K] | undefined)[]> {
  const cells = yield* get(
    "cells",
    names.map((name) => [of.text, name] as const),
  );
  return cells.map((cell) => cell?.value as Cells[K] | undefined);
}

export function* getCell<K extends keyof Cells>(of: CellKind<K>, name: string): Program<Cells[K] | undefined> {
  const [value] = yield* getCells(of, [name]);
  return value;
}

export function* putCells<K extends keyof Cells>(
  of: CellKind<K>,
  values: Iterable<readonly [name: string, value: Cells[K]]>,
): Program<void> {
  yield* put(
    "cells",
    [...values].map(([name, value]) => ({ key: [of.text, name] as const, value })),
  );
}

export function* removeCells<K extends keyof Cells>(of: CellKind<K>, names: readonly string[]): Program<void> {
  yield* remove(
    "cells",
    names.map((name) => [of.text, name] as const),
  );
}

/** All cells of a kind, by name, at most `limit`. */
export function* listCells<K extends keyof Cells>(
  of: CellKind<K>,
  limit: number,
): Program<readonly { readonly name: string; readonly value: Cells[K] }[]> {
  const cells = yield* scan("cells", startingWith(of.text), limit);
  return cells.map(({ key, value }) => ({ name: key[1], value: value as Cells[K] }));
}

/** Removes cells that have lapsed: among those after `name`, as random as it is itself, or else the first. */
export function* sweepCells(of: CellKind<"mark" | "quota">, name: string, now: number): Program<void> {
  const all = startingWith(of.text);
  let next = yield* scan("cells", { from: after([...all.from, name]), to: all.to }, SWEEP_STEP);
  if (next.length === 0) next = yield* scan("cells", all, SWEEP_STEP);
  yield* remove(
    "cells",
    next.filter(({ value }) => (value as Cells["mark" | "quota"]).until <= now).map(({ key }) => key),
  );
}
